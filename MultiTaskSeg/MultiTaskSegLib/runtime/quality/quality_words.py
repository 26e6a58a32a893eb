"""What a report says of the quality of a result, as sentences and by structure. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def quality_sentence(quality: Mapping[str, Any] | None) -> str:
    """One line on the whole image, from the entry ``quality`` of ``report.json``; empty where there is none.

    >>> quality_sentence({"answer": "good", "predicted_dice": 0.9, "margin": 0.05, "why_no_bound": ""})
    'good: predicted Dice 0.90, of each structure at least its figure less 0.05 in nine of ten such images'
    """
    if quality is None:
        return ""
    parts = [] if quality["predicted_dice"] is None else [f"predicted Dice {quality['predicted_dice']:.2f}"]
    if quality["margin"] is not None:
        parts.append(f"of each structure at least its figure less {quality['margin']:.2f} in nine of ten such images")
    elif quality["why_no_bound"]:
        parts.append(str(quality["why_no_bound"]))
    return f"{quality['answer']}: {', '.join(parts)}" if parts else str(quality["answer"])


def agreement_sentence(thorough: Mapping[str, Any] | None) -> str:
    """One line on the thorough check, from the entry ``thorough`` of ``report.json``; empty where there was none.

    >>> agreement_sentence({"answer": "good", "agreement": 0.93, "looks": 6})
    'good: 6 further looks agree with a Dice of 0.93'
    """
    if thorough is None:
        return ""
    if thorough["agreement"] is None:
        return f"{thorough['answer']}: {thorough['looks']} further looks find nothing, either"
    return f"{thorough['answer']}: {thorough['looks']} further looks agree with a Dice of {thorough['agreement']:.2f}"


def dice_words(label: Mapping[str, Any]) -> str:
    """The expected Dice of a structure and its bound, from its row of ``report.json``; empty where there is none.

    >>> dice_words({"predicted_dice": 0.9, "dice_at_least": 0.85})
    'predicted Dice 0.90, at least 0.85 in nine of ten such images'
    >>> dice_words({"predicted_dice": 0.9, "agreement": 0.8})
    'predicted Dice 0.90, agreement 0.80'
    """
    parts = []
    if label["predicted_dice"] is not None:
        bound = label.get("dice_at_least")
        more = "" if bound is None else f", at least {bound:.2f} in nine of ten such images"
        parts.append(f"predicted Dice {label['predicted_dice']:.2f}{more}")
    if label.get("agreement") is not None:
        parts.append(f"agreement {label['agreement']:.2f}")
    return ", ".join(parts)


def agreements_of(report: Mapping[str, Any]) -> dict[str, float]:
    """How far further looks agree with each structure that any of them found, by its name.

    >>> agreements_of({"labels": [{"name": "left", "agreement": 0.9}, {"name": "right", "agreement": None}]})
    {'left': 0.9}
    """
    found = {str(label["name"]): label.get("agreement") for label in report.get("labels", [])}
    return {name: float(agreement) for name, agreement in found.items() if agreement is not None}
