"""A cohort as a process: its journal says how far it is, and its last words why it ended. The process is pretended."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.overview.table import cohort_columns, write_csv
from MultiTaskSegLib.cohort.result.case_record import CaseRecord
from MultiTaskSegLib.handover import cohort_process
from MultiTaskSegLib.handover.cohort_process import CohortProcess, CohortRequest, request_of
from MultiTaskSegLib.handover.cohort_rows import cohort_rows
from MultiTaskSegLib.runtime.cli import make_parser
from MultiTaskSegLib.runtime.errors import Cancelled, MtsError, ResourceError, UsageError


def request(output: Path, **wishes: object) -> CohortRequest:
    return CohortRequest(output.parent / "images", output, output.parent / "model", **wishes)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Starts a process that does what a text in Python says, instead of the command."""

    def start(text: str) -> CohortProcess:
        (tmp_path / "out").mkdir(exist_ok=True)
        begun = cohort_process.start_tree
        script = f"import json, os, sys, time\nfrom pathlib import Path\nout = Path({str(tmp_path / 'out')!r})\n"
        command = [sys.executable, "-c", script + textwrap.dedent(text)]
        monkeypatch.setattr(cohort_process, "start_tree", lambda _, *given: begun(command, *given))
        return CohortProcess(request(tmp_path / "out"))

    return start


def over(process: CohortProcess) -> CohortProcess:
    end_s = time.monotonic() + 60
    while not process.poll():
        assert time.monotonic() < end_s
        time.sleep(0.02)
    return process


JOURNAL = """
def note(**facts):
    with (out / "cohort.log.jsonl").open("a") as stream:
        stream.write(json.dumps(facts) + "\\n")
"""


def test_the_words_are_those_of_the_command(tmp_path: Path):
    asked = request(tmp_path / "out", task="Liver", structures=("a b", "c"), address="ray://host:1", workers=3)
    options = make_parser().parse_args(asked.words())
    assert (options.kind, options.task, list(options.structures)) == ("segment", "Liver", ["a b", "c"])
    assert (options.address, options.workers, options.output) == ("ray://host:1", 3, tmp_path / "out")
    plain = make_parser().parse_args(request(tmp_path / "out").words())
    assert (plain.address, plain.thorough) == (None, False)
    thorough = make_parser().parse_args(request(tmp_path / "out", thorough=True, structures=("a",)).words())
    assert (thorough.thorough, list(thorough.structures)) == (True, ["a"])


def test_the_journal_says_how_far_it_is_and_earlier_runs_do_not_count(pretend, tmp_path: Path):
    (tmp_path / "out").mkdir()
    earlier = [{"event": "begun", "cases": 9, "finished": 0}, *[{"event": "done"}] * 9]
    (tmp_path / "out" / "cohort.log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in earlier))
    process = pretend(
        JOURNAL
        + """
        note(event="begun", cases=10, finished=2)
        for event in ("done", "tried", "failed", "done"):
            note(event=event)
        (out / "cohort.log.jsonl").open("a").write('{"event": "do')
        while not (out / "go").exists():
            time.sleep(0.02)
        """.replace("\n        ", "\n")
    )
    end_s = time.monotonic() + 60
    while process.fraction < 0.5 and time.monotonic() < end_s:
        assert not process.poll()
        time.sleep(0.02)
    assert (process.fraction, process.step, process.failed) == (0.5, "5 of 10 images, 1 failed", 1)
    assert process.eta_s >= 0
    (tmp_path / "out" / "go").touch()
    assert over(process).error is None


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("sys.stderr.write('failed: a: no image\\n'); sys.exit(4)", None, ""),
        ("sys.stderr.write('multitaskseg: the disk is full\\n'); sys.exit(4)", ResourceError, "the disk is full"),
        ("sys.stderr.write('multitaskseg: cohorts need ray, not installed here\\n'); sys.exit(2)", UsageError, "pip"),
        ("sys.stderr.write('No module named torch\\n'); sys.exit(1)", ResourceError, "No module named torch"),
        ("sys.exit(9)", ResourceError, "exit status 9"),
    ],
)
def test_why_it_ended_is_told_in_its_own_words(pretend, text: str, kind: type[MtsError] | None, said: str):
    error = over(pretend(text)).error
    assert type(error) is (kind or type(None))
    assert said in str(error or "")


def test_without_ray_the_command_that_installs_it_is_told(pretend):
    error = over(pretend("sys.stderr.write('multitaskseg: cohorts need ray and pyarrow\\n'); sys.exit(2)")).error
    assert f"Run '{sys.executable} -m pip install ray pyarrow'" in str(error)


def test_one_that_is_asked_to_end_may_sum_up(pretend, tmp_path: Path):
    process = pretend(
        """
        import signal
        signal.signal(signal.SIGTERM, lambda *_: ((out / "summed up").touch(), sys.exit(130)))
        (out / "ready").touch()
        time.sleep(60)
        """.replace("\n        ", "\n")
    )
    while not (tmp_path / "out" / "ready").exists():
        time.sleep(0.02)
    process.end()
    assert isinstance(over(process).error, Cancelled)
    assert (tmp_path / "out" / "summed up").exists() or os.name == "nt"


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_one_that_was_asked_to_end_when_all_was_done_is_done(pretend, tmp_path: Path):
    process = pretend(
        """
        import signal
        signal.signal(signal.SIGTERM, lambda *_: (out / "asked").touch())
        (out / "ready").touch()
        while not (out / "asked").exists():
            time.sleep(0.02)
        """.replace("\n        ", "\n")
    )
    while not (tmp_path / "out" / "ready").exists():
        time.sleep(0.02)
    process.end()
    assert over(process).error is None


def test_one_that_does_not_end_is_ended(pretend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cohort_process, "PATIENCE_S", 0.1)
    process = pretend(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); (out / 'x').touch(); time.sleep(60)"
    )
    while not (tmp_path / "out" / "x").exists():
        time.sleep(0.02)
    process.end()
    assert isinstance(over(process).error, Cancelled)


@pytest.mark.parametrize(
    ("given", "said"), [(("", "o", "m"), "folder"), (("i", "", "m"), "folder"), (("i", "o", ""), "model")]
)
def test_what_is_missing_is_told_before_anything_starts(given: tuple[str, str, str], said: str):
    with pytest.raises(UsageError, match=said):
        request_of(*given)


def test_rows_are_those_of_the_table(tmp_path: Path):
    one = CaseRecord("a", "/a", task="T", verdict="in distribution", p_value=0.5, volumes_ml={"liver": 12.5})
    one = replace(one, seconds=1.5, model="m", model_sha256="d", warnings=("one", "two"), quality="good")
    one = replace(one, thorough="look here", agreement=0.85, agreements={"liver": 0.85})
    rows = [one, CaseRecord("=b", "/b", "failed", "no image"), CaseRecord("c", "/c", "pending")]
    write_csv(cohort_columns(rows), tmp_path / "cohort.csv")
    done, failed = cohort_rows(tmp_path)
    assert (done.image, done.volumes_ml, done.p_value, done.warnings) == ("a", {"liver": 12.5}, 0.5, ("one", "two"))
    assert (done.quality, done.thorough, done.agreement, done.agreements) == (
        "good", "look here", 0.85, {"liver": 0.85}
    )  # fmt: skip
    assert (failed.image, failed.error, failed.volumes_ml) == ("=b", "no image", {})
    assert (failed.thorough, failed.agreement, failed.agreements) == ("", None, {})
    with pytest.raises(ResourceError, match="cannot be read"):
        cohort_rows(tmp_path / "gone")
