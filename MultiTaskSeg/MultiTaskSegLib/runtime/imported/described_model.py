"""What a model file says of itself, whichever kind of model it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.imported.imported_card import imported_card
from MultiTaskSegLib.runtime.imported.imported_file import is_imported, load_imported
from MultiTaskSegLib.runtime.model.model_card import model_card
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from MultiTaskSegLib.runtime.model.structure import to_plain


@dataclass(frozen=True)
class DescribedModel:
    """A description.

    Attributes:
        plain: the manifest as plain values.
        digest: SHA-256 of the content.
        card: the model card.
    """

    plain: dict[str, Any]
    digest: str
    card: str


def described_model(path: Path) -> DescribedModel:
    """The description of a model file, whose content is checked.

    Raises:
        ModelError: it is damaged, altered or contradicts itself.
    """
    if is_imported(path):
        model = load_imported(path)
        return DescribedModel(to_plain(model.manifest), model.digest, imported_card(model.manifest, model.digest))
    manifest, digest = read_manifest(path)
    return DescribedModel(to_plain(manifest), digest, model_card(manifest, digest))
