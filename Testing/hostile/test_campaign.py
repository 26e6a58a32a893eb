"""The campaign counts what fails, goes on where it stopped, outlives a crash, and its page says what its JSON says."""

from __future__ import annotations

import io
import json
import os
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from Testing.hostile.attack.attack import Attack, Malicious, watched
from Testing.hostile.campaign import __main__ as command
from Testing.hostile.campaign import catalogue, finding, row_run
from Testing.hostile.campaign.catalogue import TRIALS
from Testing.hostile.campaign.journal import Journal, Settings
from Testing.hostile.campaign.progress import Progress
from Testing.hostile.campaign.publication import publish, published_page, summary
from Testing.hostile.campaign.row import kill, mutants, resume, soak, together
from Testing.hostile.campaign.trial import Broken, Ground, ListedTrial, NotHere, require
from Testing.hostile.campaign.victim import KINDS

# By row, cases that take about a second; every door, format and kind of judgement is among them.
QUICK = {
    "images": ("cli: nifti cut in half #0", "verify: nifti cut in half #0", "worker: nifti cut in half #1",
               "scene: nrrd half infinite #0"),
    "geometry": ("17, oblique, odd",),
    "non_finite": ("NaN, one, nrrd, 0", "+Inf, 0.2 %, mha, 1"),
    "verifier": ("no labels #0", "clean: 3"),
    "dicom": ("enhanced multi-frame #1", "per-slice rescale #2", "big endian #3", "implicit VR #3", "deflated #0",
              "RLE #1", "gantry tilt #4"),
    "metamorphic": ("flipped #1", "header changed #2"),
    "versions": ("read: version-1", "read: version-2", "read: imported-version-2", "99 in version-1"),
    "attacks": ("model file: renamed pickle", "imported checkpoint: os.system", "dataset: label name that climbs",
                "request: voxels as a pickle", "file name: a substitution", "dicom: escape codes in names"),
    "loss": ("multi-task, NaN #1",),
    "resume": ("multi-task, cut after 3", "without place in the data"),
    "disk": ("checkpoint: full after 0 bytes", "results: no permission", "model file: non-ASCII",
             "names in other case: slice and result", "names in other case: folders of a batch"),
    "sockets": ("info", "models"),
}  # fmt: skip


def attempt(case: str, ground: Ground) -> None:
    """Even numbers hold."""
    assert list(ground.folder.iterdir()) == []
    (ground.folder / "left").write_text("behind")
    counter = ground.once("counter", lambda path: path.write_text("0"))
    counter.write_text(str(int(counter.read_text()) + 1))
    if case == "7":
        raise NotHere("sevens are not sold here")
    require(int(case) % 2 == 0, f"odd,\nin {ground.folder}")


PARITY = ListedTrial("parity", "numbers", "are even", tuple(str(number) for number in range(10)), attempt, each=3)


@pytest.fixture
def parity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRIALS, "parity", PARITY)


def run_here(out: Path, **settings: object) -> dict[str, object]:
    Settings(**{"share": 1.0, "seed": 0, **settings}).keep(out)
    row_run.run_here("parity", out, io.StringIO())
    return finding.finding("parity", out)


@pytest.mark.usefixtures("parity")
def test_failures_are_counted_by_case_and_what_is_not_here_is_not_tried(tmp_path: Path) -> None:
    found = run_here(tmp_path)
    assert (found["run"], found["of"], found["cases_failed"]) == (27, 30, 4)
    assert found["failures"][0] == {"input": "1", "what": "Broken: odd, in FOLDER"}
    assert found["not_here"] == {"sevens are not sold here": 1}


@pytest.mark.usefixtures("parity")
def test_a_run_goes_on_after_the_cases_that_are_done(tmp_path: Path) -> None:
    Settings(1.0, 0).keep(tmp_path)
    for case in ("0", "1"):
        Journal(tmp_path, "parity").add({"case": case, "failure": "", "absent": "", "seconds": 0.0})
    with (tmp_path / "parity.jsonl").open("a") as stream:
        stream.write('{"case": "2", "fail\n')  # killed while it wrote
    found = run_here(tmp_path)
    assert (found["run"], found["cases_failed"]) == (27, 3)
    assert run_here(tmp_path) == found
    with pytest.raises(ValueError, match="another folder"):
        Settings(0.5, 0).keep(tmp_path)


def test_a_share_chooses_the_same_cases_every_time_and_at_least_one() -> None:
    cases = PARITY.cases()
    assert Settings(0.001, 0).chosen(cases) == Settings(0.001, 0).chosen(cases)
    assert len(Settings(0.001, 0).chosen(cases)) == 1
    assert Settings(0.5, 1).chosen(cases) != Settings(0.5, 2).chosen(cases)
    assert Settings(1.0, 0).chosen(cases) == list(cases)
    assert Settings(0.1, 0, ("3", "5")).chosen(cases) == ["3", "5"]


@pytest.mark.usefixtures("parity")
def test_a_case_that_kills_its_process_is_a_failure_and_the_next_ones_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_a_child(words: list[str], _: object) -> int:
        """As the real one, but dies in case 4 of a child that shares this process's rows."""
        child = os.fork()
        if child == 0:
            broken = ListedTrial("parity", "", "", PARITY.names, lambda case, _: case == "4" and os._exit(7))
            monkeypatch.setitem(TRIALS, "parity", broken)
            row_run.run_here(words[0], Path(words[1]), io.StringIO())
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    if not hasattr(os, "fork"):
        pytest.skip("Windows cannot fork")
    monkeypatch.setattr(row_run, "_ended", in_a_child)
    Settings(1.0, 0).keep(tmp_path)
    row_run.run_apart("parity", tmp_path, io.StringIO())
    found = finding.finding("parity", tmp_path)
    assert found["failures"] == [{"input": "4", "what": "its process ended with 7"}]
    assert found["run"] == 30


def test_a_process_that_never_begins_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_run, "_ended", lambda *_: 1)
    Settings(0.001, 0).keep(tmp_path)
    with pytest.raises(RuntimeError, match="before any case"):
        row_run.run_apart("verifier", tmp_path, io.StringIO())


@pytest.mark.usefixtures("parity")
def test_a_case_that_an_interrupted_run_left_open_has_not_failed_in_a_process_that_never_began_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_run, "_ended", lambda *_: 1)
    Settings(1.0, 0).keep(tmp_path)
    Journal(tmp_path, "parity").add({"begun": "2"})
    with pytest.raises(RuntimeError, match="before any case"):
        row_run.run_apart("parity", tmp_path, io.StringIO())
    assert Journal(tmp_path, "parity").done() == {}


@pytest.mark.usefixtures("parity")
def test_cases_that_are_not_chosen_any_more_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_here(tmp_path, share=0.5)
    later = replace(PARITY, names=tuple(str(number) for number in range(5, 25)))
    monkeypatch.setitem(TRIALS, "parity", later)
    found = run_here(tmp_path, share=0.5)
    chosen = Settings(0.5, 0).chosen(later.names)
    assert found["run"] == (len(chosen) - chosen.count("7")) * 3
    assert {failure["input"] for failure in found["failures"]} <= set(chosen)


@pytest.mark.usefixtures("parity")
def test_a_row_that_is_named_twice_counts_once_and_rows_named_one_by_one_all_count(tmp_path: Path) -> None:
    words = ["--only", "parity", "parity", "--only", "versions", "--inputs", "0", "--inputs", "read: version-1"]
    assert command.main([*words, "--one-process", "-o", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "campaign.json").read_text())["rows"]
    assert [(row["name"], row["run"]) for row in rows] == [("parity", 3), ("versions", 1)]


@pytest.mark.usefixtures("parity")
def test_the_command_prints_the_table_and_its_exit_code_says_whether_a_row_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--one-process", "--only", "verifier", "--inputs", "no labels #0", "-o"]
    assert command.main([*words, str(tmp_path / "a")]) == 0
    assert "verifier" in capsys.readouterr().out
    content = json.loads((tmp_path / "a" / "campaign.json").read_text())
    assert {"command", "commit", "machine", "date", "seed", "share", "rows"} <= set(content)
    assert command.main(["--share", "0.5", *words, str(tmp_path / "a")]) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--inputs", "no such case"], "has the case 'no such case'"),
        (["--only", "versions", "--inputs", "no labels #0"], "has the case 'no labels #0'"),
        (["--share", "0"], "not above 0"),
        (["--share", "1.5"], "at most 1"),
        (["--share", "nan"], "not above 0"),
        (["--only", "versions", "--publish", "docs"], "only a run of all rows"),
        (["--inputs", "no labels #0", "--publish", "docs"], "only a run of all rows"),
    ],
)
def test_a_run_of_nothing_or_the_page_of_a_part_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert command.main([*words, "--one-process", "-o", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("parity")
def test_a_process_that_crashes_after_its_last_case_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crashing(words: list[str], stream: io.StringIO) -> int:
        row_run.run_here(words[0], Path(words[1]), stream)
        return -11

    monkeypatch.setattr(row_run, "_ended", crashing)
    Settings(1.0, 0, ("2", "4")).keep(tmp_path)
    row_run.run_apart("parity", tmp_path, io.StringIO())
    failures = finding.finding("parity", tmp_path)["failures"]
    assert failures == [{"input": "4", "what": "its process ended with -11 after it"}]


def test_every_commit_of_a_run_is_told_in_its_order(tmp_path: Path) -> None:
    for name, commit in (("a", "2+changes"), ("a", "1"), ("b", None), ("b", "1")):
        Journal(tmp_path, name).add({"commit": commit})
    assert finding.commits(["a", "b"], tmp_path) == "2+changes, 1, unknown"


def test_the_page_and_the_table_say_what_the_published_file_says(tmp_path: Path) -> None:
    row = {
        "name": "parity", "what": "numbers", "promise": "are even", "run": 27, "of": 30, "cases_failed": 1,
        "failures": [{"input": "1", "what": "a | b"}], "not_here": {"not sold here": 1}, "seconds": 2.4,
        "whole_seconds": 7200.0,
    }  # fmt: skip
    machine = {"processor": "P", "system": "S"}
    content = {"date": "2026-01-02", "commit": "abc", "share": 1.0, "seed": 0, "machine": machine, "rows": [row]}
    path, page = publish(content, tmp_path)
    assert path == tmp_path / "results" / "reliability-2026-01-02.json"
    text = page.read_text("utf-8")
    assert text == published_page(tmp_path)
    for part in ("| numbers (`parity`) | are even | 27 of 30 | 1 | 2 |", "| parity | 1 | a \\| b |", "not sold here"):
        assert part in text
    assert "2.00" in summary(content)
    path.write_text(path.read_text().replace('"run": 27', '"run": 30').replace('"abc"', '"abc, def"'))
    assert "from 2 commits, one after the other: `abc`, `def`" in published_page(tmp_path)
    assert "| numbers (`parity`) | are even | 30 | 1 | 2 |" in published_page(tmp_path)


def test_the_documented_page_is_the_one_of_its_file(repository: Path) -> None:
    docs = repository / "docs"
    assert (docs / "reliability.md").read_text("utf-8") == published_page(docs)


def test_the_time_that_is_left_follows_from_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("Testing.hostile.campaign.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress("parity", 10, 2, stream)
    for _ in range(4):
        now[0] += 3.0
        progress.one()
    assert progress.left_s() == pytest.approx(12.0)
    assert "parity: 6 of 10, 12 s, about 12 s left" in stream.getvalue()


def test_what_does_not_hold_is_broken() -> None:
    require([1], "never")
    with pytest.raises(Broken, match="empty"):
        require([], "empty")


def test_no_two_rows_or_cases_have_one_name() -> None:
    assert list(TRIALS) == [catalogue.trial(name).name for name in TRIALS]
    for row in TRIALS.values():
        assert len(set(row.cases())) == len(row.cases()) > 0


@pytest.mark.parametrize("name", QUICK)
def test_quick_cases_of_a_row_hold(name: str, tmp_path: Path) -> None:
    Settings(1.0, 0, QUICK[name]).keep(tmp_path)
    row_run.run_here(name, tmp_path, io.StringIO())
    found = finding.finding(name, tmp_path)
    assert found["failures"] == []
    # Where there is no slicer-core for this Python, cases in its scene are counted as such, and no others are.
    absent = 0 if find_spec("slicer") else found["not_here"].pop("slicer-core is not installed", 0)
    assert found["not_here"] == {}
    assert found["run"] == (len(QUICK[name]) - absent) * TRIALS[name].each


@pytest.mark.parametrize("name", sorted(set(TRIALS) - {"resume", "loss"}))
def test_a_case_that_is_not_known_is_no_success(name: str, tmp_path: Path) -> None:
    if name == "readers" and find_spec("slicer") is None:
        pytest.skip("slicer-core is not installed")
    (tmp_path / "kept").mkdir()
    assert row_run.tried(TRIALS[name], "nonsense: 0, 0 #0", tmp_path)["failure"]


def test_an_attack_that_succeeds_would_be_noticed(tmp_path: Path) -> None:
    import pickle

    with watched(tmp_path / "allowed") as heard:
        pickle.loads(pickle.dumps(Malicious(tmp_path)))  # noqa: S301
        (tmp_path / "elsewhere").write_text("x")
    assert [line.split()[0] for line in heard] == ["os.system", "open"]
    assert (tmp_path / "canary").exists()
    with watched(tmp_path) as heard:
        (tmp_path / "inside").write_text("x")
        with tempfile.TemporaryFile():
            pass
    assert heard == []


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (lambda folder: "", "not refused"),
        (lambda folder: "Traceback", "traceback"),
        (lambda folder: "\x1b[2J", "escape codes"),
        (lambda folder: str((folder / "evil").write_text("x")), "outside the results"),
    ],
)
def test_each_success_of_an_attack_has_a_name(tmp_path: Path, act: object, what: str, monkeypatch) -> None:
    from Testing.hostile.campaign.row import attacks

    monkeypatch.setattr(attacks, "attacks", lambda: {"a": Attack("a", act)})
    with pytest.raises(Broken, match=what):
        attacks.attempt("a", Ground(tmp_path, tmp_path))


def test_a_mutant_that_is_accepted_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "EACH", 3)
    ground = Ground(tmp_path, tmp_path)
    for number, kind in enumerate(mutants.KINDS):
        mutants.attempt(f"{kind}, header, {number}", ground)
    make, _ = mutants.KINDS["3-D"]
    monkeypatch.setitem(mutants.KINDS, "3-D", (make, lambda path: None))
    with pytest.raises(Broken, match="mutant 0 was accepted"):
        mutants.attempt("3-D, all, 0", ground)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_of_a_mutant_would_be_noticed_though_nobody_touches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, load = mutants.KINDS["3-D"]
    loaded: list[Path] = []

    def greedy(path: Path) -> object:
        loaded.append(path)
        return bytearray(2**28 if len(loaded) > 1 else 0) and load(path)

    monkeypatch.setattr(mutants, "EACH", 1)
    monkeypatch.setitem(mutants.KINDS, "3-D", (make, greedy))
    with pytest.raises(MemoryError):
        mutants.attempt("3-D, all, 0", Ground(tmp_path, tmp_path))


def test_what_a_kill_must_not_leave_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "tiny.mts.safetensors").write_bytes(b"half")
    with pytest.raises(ModelError):
        KINDS["saving"][1](tmp_path, tmp_path)
    (tmp_path / "out" / "image").mkdir(parents=True)
    (tmp_path / "out" / "image" / "report.json").write_text("{}")
    with pytest.raises(Broken, match="the first result is gone"):
        KINDS["batch"][1](tmp_path, tmp_path / "out")
    (tmp_path / "out" / "image").rename(tmp_path / "out" / "image0.nii.gz")
    with pytest.raises(Broken, match="only"):
        KINDS["batch"][1](tmp_path, tmp_path / "out")
    assert kill.group_lives(os.getpgrp())


def test_forgetting_nothing_is_not_taken_for_an_omission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "without", lambda _: nullcontext())
    with pytest.raises(Broken, match="nothing differs"):
        resume.attempt("without optimizer", Ground(tmp_path, tmp_path))


def test_growth_of_a_worker_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Runner:
        """Answers at once."""

        def check(self, *_: object, **__: object) -> Runner:
            """Itself."""
            return self

        segment, wait = check, check

    def soaked(*states: tuple[int, int, int]) -> None:
        left = list(states)
        monkeypatch.setattr(soak, "state", lambda _: left.pop(0))
        soak.soaked(Runner(), "check", soak.RUNS, Path())  # type: ignore[arg-type]

    soaked((1000, 9, 3), (1040, 9, 3))
    for last, what in (((1051, 9, 3), "memory grew"), ((1000, 12, 3), "open files"), ((1000, 9, 6), "in its folder")):
        with pytest.raises(Broken, match=what):
            soaked((1000, 9, 3), last)


def test_other_voxels_of_a_run_beside_others_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([{"segmentation.nii.gz": "a", "uncertainty.nii.gz": "b"}] * 2 + [{"segmentation.nii.gz": "c"}])
    monkeypatch.setattr(together, "started", lambda ground, out, threads: out.mkdir())
    monkeypatch.setattr(together, "ended", lambda _: None)
    monkeypatch.setattr(together, "digests", lambda _: next(found) | {"uncertainty.nii.gz": "b"})
    with pytest.raises(Broken, match=r"other voxels: \['segmentation"):
        together.attempt("1 at once, 1 threads #0", Ground(tmp_path, tmp_path))
