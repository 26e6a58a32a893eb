"""Which file a model is, and what its weights come from, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_card import averaged_words, left_out_text
from trainer.evaluation.published_figures import measured_as
from trainer.refitting.descent import CHECKED_AS, digests_in
from trainer.report.markdown_table import code, literal


def history_words(manifest: Manifest, digest: str) -> str:
    """Digest and training of a model file, and which earlier files its figures may name."""
    words = f"SHA-256 of the content {code(digest)}, {_training(manifest.training)}."
    for earlier in measured_as(manifest, digest)[1:]:
        words += (
            f" Figures that name {code(earlier)} hold for it, too: that file differs in nothing but in what it says "
            "about the training or lower precisions."
        )
    for earlier in digests_in(manifest.training, CHECKED_AS):
        words += (
            f" Figures of labels and verdicts that name {code(earlier)} hold for it, too: that file has the same, and "
            "foretells another Dice."
        )
    return words


def left_out_words(manifest: Manifest) -> str:
    """Which tasks the network was trained on and the model leaves out; empty where there are none."""
    text = left_out_text(manifest)
    return f"{literal(text)}." if text else ""


def _training(training: Mapping[str, Any]) -> str:
    words = f"{training['steps']} steps in {training['minutes']:.0f} minutes"
    start = training.get("finetuning", {}).get("model")
    if not start:
        return words
    return f"{words}, on top of the weights of an earlier {literal(str(start))}{averaged_words(training)}"
