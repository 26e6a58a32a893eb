"""The signature of an imported network, of which maps of the encoder alone are looked at."""

from __future__ import annotations

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec, Variant, signature_spec


def encoder_spec(manifest: ImportedManifest, variant: Variant, layers: tuple[str, ...]) -> SignatureSpec:
    """The signature, of maps of the encoder alone: others are never looked at.

    Raises:
        UsageError: it asks for others.
        ModelError: the network cannot be checked.
    """
    known = manifest.encoder_layers
    spec = signature_spec(manifest.architecture, variant, layers or (known if variant == "multilayer" else ()))
    if others := [layer for layer in spec.layers if layer not in known]:
        raise UsageError(
            f"of an imported network only maps of the encoder are compared, not {', '.join(others)}",
            remedy=f"Choose another --variant, or --layers of {', '.join(known)}",
        )
    return spec
