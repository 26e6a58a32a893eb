"""A cohort on one page in HTML: counts, verdicts over time, distributions, worst cases, failures with their reasons.

The page holds all that it shows, runs nothing, and asks for nothing else. Whatever a name contains is shown as text.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from MultiTaskSegLib.cohort.overview.chart import histogram, stacked_bars
from MultiTaskSegLib.cohort.overview.periods import periods
from MultiTaskSegLib.cohort.overview.worst_cases import pictured, worst
from MultiTaskSegLib.cohort.result.case_record import DONE, FAILED, PENDING, CaseRecord
from MultiTaskSegLib.cohort.result.settings import CohortSettings
from MultiTaskSegLib.gallery.batch_page import STYLE, cards
from MultiTaskSegLib.picture.verdict_colour import COLOURS

TITLE = "MultiTaskSeg cohort"
LISTED = 200  # failures; the table has all
NO_ANSWER = "could not be made"
OWN_STYLE = """
section { margin-bottom: 2rem; } figure { display: inline-block; margin: 0 1.5rem 1rem 0; }
figcaption { opacity: 0.75; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
table { border-collapse: collapse; } td, th { border: 1px solid #888888; padding: 0.2rem 0.6rem; text-align: left; }
"""


def cohort_page(records: Sequence[CaseRecord], settings: CohortSettings, output: Path) -> str:
    """The text of the page.

    Args:
        records: of all cases.
        settings: of the run.
        output: the folder of the results, where the page will lie.
    """
    rows = [pictured(record, output) for record in worst(records)]
    parts = {
        "": _summary(records, settings),
        "Verdicts over time": _over_time(records),
        "Distributions": _distributions(records),
        "Worst cases": f"<p>{_order(settings)}</p>{cards(rows, output)}",
        "Not done": _not_done(records),
    }
    sections = "\n".join(
        f"<section>{f'<h2>{title}</h2>' if title else ''}{content}</section>"
        for title, content in parts.items()
        if content
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{TITLE}</title>'
        f"<style>{STYLE}{OWN_STYLE}</style></head>\n<body><h1>{TITLE}</h1>\n{sections}\n</body></html>\n"
    )


def _summary(records: Sequence[CaseRecord], settings: CohortSettings) -> str:
    counts = Counter(record.status for record in records)
    done = [record for record in records if record.status == DONE]
    told = ", ".join(f"{counts[status]} {status}" for status in (DONE, FAILED, PENDING) if counts[status])
    answers = _counted("thorough check", [record.thorough or NO_ANSWER for record in done]) if settings.thorough else ""
    model = f"{settings.command}, model {settings.model} ({settings.model_sha256[:12]})"
    return (
        f"<p>{len(records)} cases: {told}</p><p>{html.escape(model)}</p>"
        f"{_counted('verdict', [record.verdict for record in done])}{answers}"
    )


def _counted(title: str, words: Sequence[str]) -> str:
    """How often each of them was said, most often first."""
    counts = Counter(words).most_common()
    listed = "".join(f"<tr><td>{html.escape(said)}</td><td>{count}</td></tr>" for said, count in counts)
    return f"<table><tr><th>{title}</th><th>cases</th></tr>{listed}</table>"


def _order(settings: CohortSettings) -> str:
    unsure = " then least agreement of further looks," if settings.thorough else ""
    return f"Furthest from the training images,{unsure} then least expected Dice."


def _over_time(records: Sequence[CaseRecord]) -> str:
    dated = [record for record in records if record.date and record.verdict]
    if not dated:
        return "<p>No image says when it was made.</p>"
    labels, length = periods(record.date for record in dated)
    counts = Counter((record.date[:length], record.verdict) for record in dated)
    bars = [(label, {words: counts[label, words] for words in COLOURS}) for label in labels]
    return f"<p>{len(dated)} of {len(records)} cases have a date.</p>{stacked_bars(bars, COLOURS)}"


def _distributions(records: Sequence[CaseRecord]) -> str:
    figures = [
        _figure("score / limit of the task", [record.remoteness for record in records], 1.0),
        _figure("expected Dice of the worst segment", [record.lowest_dice for record in records]),
        _figure("agreement of further looks", [record.agreement for record in records]),
        _figure("seconds per case", [record.seconds for record in records]),
    ]
    for name in dict.fromkeys(name for record in records for name in record.volumes_ml):
        figures.append(_figure(f"{name} [mL]", [record.volumes_ml.get(name) for record in records]))
    return "".join(figures)


def _figure(title: str, values: Sequence[float | None], limit: float | None = None) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    caption = f"{html.escape(title)}, {len(known)} cases"
    return f"<figure>{histogram(known, limit)}<figcaption>{caption}</figcaption></figure>"


def _not_done(records: Sequence[CaseRecord]) -> str:
    failed = [record for record in records if record.status == FAILED]
    if not failed:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(record.case)}</td><td>{record.attempts}</td><td>{html.escape(record.reason)}</td></tr>"
        for record in failed[:LISTED]
    )
    more = f"<p>{len(failed) - LISTED} more are in the table.</p>" if len(failed) > LISTED else ""
    return f"<table><tr><th>case</th><th>attempts</th><th>reason</th></tr>{rows}</table>{more}"
