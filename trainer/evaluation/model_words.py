"""What the page of released models says in words: where the check fails, what each task has seen, who may use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.weights_licence import learnt_besides, weights_licence
from trainer.report.markdown_table import literal, table

OURS, STATISTICS, PAPER = "whitened, encoder and image", "control: image statistics", "paper"
SPOILT = "artefact"
OFTEN_MISSED = 0.75
FEW_PATIENTS = 10
NOT_RECORDED = "not recorded"


def check_words(measured: Mapping[str, Any], results: str = "results") -> str:
    """What the check finds and what it misses, of one model of a published benchmark.

    Args:
        measured: of the model.
        results: folder of the published figures, as seen from the page.
    """
    shipped = measured["shipped"]
    by_source: Mapping[str, float] = shipped.get("sensitivity_by_source", {})
    flagged = ", ".join(
        f"{_percent(share)} of the {family} images{_sources(by_source, family)}"
        for family, share in shipped["sensitivity"].items()
    )
    words = [
        f"Out of distribution (`{shipped['variant']}`, layers {', '.join(shipped['layers'])}): with the limit fitted "
        f"on other patients {100 * shipped['specificity']:.1f} % of {shipped['known_images']} held-out images are "
        f"accepted; flagged are {flagged}.",
        _missed(by_source),
        _compared(measured["detectors"]),
        f"All figures: [the benchmark]({results}/ood-benchmark.md).",
    ]
    return " ".join(filter(None, words))


def acceptance_words(measured: Mapping[str, Any], manifest: Manifest) -> str:
    """What the check accepts and flags where it knows images without labels.

    Args:
        measured: ``known`` and ``foreign`` folders of a published acceptance.
        manifest: of the model.
    """
    known, foreign = measured["known"], measured["foreign"]
    missed = [
        f"{own['images'] - own['flagged']} of {own['images']} of {literal(name)}" for name, own in foreign.items()
    ]
    missed = [words for words in missed if not words.startswith("0 ")]
    images, flagged = (sum(own[key] for own in foreign.values()) for key in ("images", "flagged"))
    layers = "" if manifest.ood is None else f" (`{manifest.ood.variant}`, layers {', '.join(manifest.ood.layers)})"
    accepted = "; ".join(
        f"{literal(name)}: {own['accepted']} of {own['images']} ({own['patients']} {_persons(own['patients'])}, 95 % "
        f"interval {100 * own['interval'][0]:.0f} to {100 * own['interval'][1]:.0f} %)"
        for name, own in known.items()
    )
    return (
        f"Out of distribution{layers}: the check knows real images, not the drawn ones that the network was trained "
        "on, so that drawn images are flagged more often. Accepted of images of persons that it does not know: "
        f"{accepted}. Flagged are {flagged} of {images} images of something else ({', '.join(map(literal, foreign))})"
        + (f"; **missed**: {', '.join(missed)}." if missed else ".")
        + " Spoilt images were not measured."
    )


def _persons(count: int) -> str:
    return "person" if count == 1 else "persons"


def _sources(by_source: Mapping[str, float], family: str) -> str:
    """A family from one source says little about others."""
    own = [source.removeprefix(f"{family}: ") for source in by_source if source.startswith(f"{family}: ")]
    return f" (all from one source, {own[0]})" if len(own) == 1 else ""


def _missed(by_source: Mapping[str, float]) -> str:
    found = sorted(
        (share, source.removeprefix(f"{SPOILT}: ").replace("_", " "))
        for source, share in by_source.items()
        if source.startswith(f"{SPOILT}: ") and share < OFTEN_MISSED
    )
    if not found:
        return ""
    kinds = ", ".join(f"{_percent(share)} of images with {kind}" for share, kind in found)
    return f"**Often missed:** flagged are {kinds}."


def _compared(detectors: Mapping[str, Any]) -> str:
    """Spoilt images told from known ones by our detector, by no network at all, and as the paper says."""
    of_spoilt = {name: of[SPOILT] for name, of in detectors.items() if SPOILT in of}
    scores = {name: of["auroc"] for name, of in of_spoilt.items()}
    paper = [score for name, score in scores.items() if name.startswith(PAPER)]
    if OURS not in scores or STATISTICS not in scores or not paper:
        return ""
    return (
        f"Spoilt images are told from known ones with an AUROC of {scores[OURS]:.2f}, by the statistics of the image "
        f"alone, without any network, with {scores[STATISTICS]:.2f}: "
        f"{_lead(scores[OURS] - scores[STATISTICS], of_spoilt[STATISTICS].get('lead_interval'))} "
        f"The paper's own spectrum has {min(paper):.2f} to {max(paper):.2f}, by layer and measure."
    )


def _lead(difference: float, limits: Sequence[float] | None) -> str:
    if limits is None:
        return f"that the network helps is not shown by a difference of {difference:+.3f} without an interval."
    words = f"{difference:+.3f} ({limits[0]:+.3f} to {limits[1]:+.3f})"
    return f"the difference is {words}." if limits[0] > 0 else f"that the network helps is not shown, {words}."


def data_words(manifest: Manifest, docs: str = "") -> str:
    """The licence of the weights, and a table of what each task has seen.

    Args:
        manifest: of the model.
        docs: folder of the documents, as seen from the page.
    """
    columns = {
        "images": [task.data.description for task in manifest.tasks],
        "size of the images": [task.data.sizes.text() if task.data.sizes else "" for task in manifest.tasks],
        "field of view": [task.data.field_of_view for task in manifest.tasks],
        "scanners": [task.data.scanners for task in manifest.tasks],
        "ages": [task.data.ages for task in manifest.tasks],
        "licence": [task.licence for task in manifest.tasks],
        "please cite": [task.data.reference for task in manifest.tasks],
    }
    known = {name: values for name, values in columns.items() if any(values)}
    rows = [
        [literal(task.name), *(literal(values[number] or NOT_RECORDED) for values in known.values())]
        for number, task in enumerate(manifest.tasks)
    ]
    unknown = [name for name in columns if name not in known]
    parts = [
        f"Licence of the weights, [from those of their data]({docs}model_file.md#licence-of-the-weights): "
        f"{literal(weights_licence(manifest).text())}.",
        "What each task has seen" + (f" (not recorded of any: {', '.join(unknown)})" if unknown else "") + ":",
        table(["task", *known], rows),
    ]
    if besides := learnt_besides(manifest):
        parts += [
            "Of no task of the model, but weights or check have learnt from them, in this training or in one before:",
            table(["data", "licence, and whom to cite"], [list(map(literal, row)) for row in besides.items()]),
        ]
    return "\n\n".join(parts)


def few_words(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Names the tasks whose figures rest on few patients."""
    few = [
        f"{literal(name)} ({own['patients']})" for name, own in rows.items() if own.get("patients", 0) < FEW_PATIENTS
    ]
    if not few:
        return ""
    return (
        f"Measured on fewer than {FEW_PATIENTS} patients, so that others may lie far from these figures: "
        f"{', '.join(few)}."
    )


def _percent(share: float) -> str:
    """Without places, but where that would make all or none of nearly so.

    >>> _percent(0.996875), _percent(1.0), _percent(0.537)
    ('99.7 %', '100 %', '54 %')
    """
    is_rounded_away = 0 < share < 1 and round(100 * share) in (0, 100)
    return f"{100 * share:.{1 if is_rounded_away else 0}f} %"
