"""What the README says is done here as it is written; a walk notices what is not as a page says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from Testing.house.source_tree import REPOSITORY
from Testing.pages import __main__ as program
from Testing.pages import walk as walking
from Testing.pages.made_data import write_made_data
from Testing.pages.page_commands import PageCommand
from Testing.pages.plan import Planned, plan
from Testing.pages.promises import SAME
from Testing.pages.walk import Outcome, as_process, faults, in_process, walk

SEGMENT = "multitaskseg segment scan.nii.gz -o result"


def answering(status: int, said: str = "", *, files: tuple[str, ...] = ()):
    def run(text: str, folder: Path) -> Outcome:
        for name in files:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        return Outcome(status, said)

    return run


def test_the_commands_of_the_readme_do_what_it_says(tmp_path: Path) -> None:
    write_made_data(tmp_path)
    done = list(walk(plan("README.md"), tmp_path, in_process))
    assert [(one.text, one.faults, one.said) for one in done if one.faults] == []
    subcommands = {word for one in done for word in one.text.split()[1:4] if word.isalpha()}
    assert {"segment", "check", "info", "verify", "train"} <= subcommands


def test_a_status_a_file_and_words_that_are_not_as_a_page_says_are_faults(tmp_path: Path) -> None:
    info, foreign = "multitaskseg info mr3d", "multitaskseg check *.nii.gz --fail-on-ood"
    assert "ends with 4, not 0" in list(faults(info, Outcome(4, ""), tmp_path, {}))
    assert list(faults(foreign, Outcome(0, ""), tmp_path, {})) == ["ends with 0, not 3"]
    assert list(faults(foreign, Outcome(3, ""), tmp_path, {})) == []
    assert len(list(faults(info, Outcome(0, "Dataset101_HippocampusT1"), tmp_path, {}))) == 1
    assert "result/report.json is not there" in list(faults(SEGMENT, Outcome(0, ""), tmp_path, {}))
    left = answering(0, files=tuple(f"result/{name}" for name in ("report.json", "uncertainty.nii.gz")))
    outcome = left(SEGMENT, tmp_path)
    assert len(list(faults(SEGMENT, outcome, tmp_path, {}))) == 2


def test_a_page_that_a_command_writes_otherwise_is_a_fault(tmp_path: Path) -> None:
    ((text, names),) = SAME.items()
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, tmp_path / name)
    assert list(faults(text, Outcome(0, ""), tmp_path, {})) == []
    (tmp_path / names[0]).write_text("typed", encoding="utf-8")
    assert list(faults(text, Outcome(0, ""), tmp_path, {})) == [f"{names[0]} is not as it was"]


def test_a_process_runs_in_the_folder_with_the_packages_of_this_checkout(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os, sys, trainer\nprint(os.getcwd())\nsys.exit(5)\n", encoding="utf-8")
    outcome = as_process("python script.py", tmp_path)
    assert (outcome.status, Path(outcome.said.strip()).name) == (5, tmp_path.name)


def test_words_that_are_not_understood_end_with_2_in_this_process_too(tmp_path: Path) -> None:
    before = Path.cwd()
    assert in_process("multitaskseg chek", tmp_path).status == 2
    assert Path.cwd() == before


@pytest.mark.parametrize(("status", "ends_with"), [(0, 0), (4, 1)])
def test_a_walk_ends_with_1_where_anything_is_not_as_its_page_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, ends_with: int
) -> None:
    commands = [
        Planned(PageCommand("a.md", "multitaskseg models", "block"), ("multitaskseg models --json",)),
        Planned(PageCommand("a.md", "pip install .", "block"), (), "an index"),
    ]
    monkeypatch.setattr(program, "plan", lambda: commands)
    monkeypatch.setattr(program, "write_made_data", lambda folder: folder)
    monkeypatch.setattr(program, "as_process", answering(status, "the last words"))
    assert program.main([]) == ends_with
    said = capsys.readouterr().out
    assert "pip install .\n      an index" in said
    assert "2 commands on 1 pages: for 1 of them 1 were run" in said
    assert ("| the last words" in said) == bool(ends_with)


def test_a_file_of_an_earlier_command_does_not_count_as_written(tmp_path: Path) -> None:
    one = Planned(PageCommand("a.md", SEGMENT, "block"), (SEGMENT, SEGMENT))
    names = tuple(f"result/{name}" for name in ("segmentation.nii.gz", "segmentation.seg.nrrd"))
    names += tuple(f"result/{name}" for name in ("uncertainty.nii.gz", "report.json"))
    writes, idle = answering(0, files=names), answering(0)
    first, second = walk([one], tmp_path, lambda *given: (idle if (tmp_path / names[0]).exists() else writes)(*given))
    assert first.faults == ()
    assert second.faults == tuple(f"{name} was not written" for name in names)


def test_a_program_that_is_not_there_is_a_fault_and_the_walk_goes_on(tmp_path: Path) -> None:
    commands = [Planned(PageCommand("a.md", text, "block"), (text,)) for text in ("no_such_program -x", "python -V")]
    missing, there = walk(commands, tmp_path, as_process)
    assert missing.faults == ("ends with 127, not 0",)
    assert there.faults == ()


def test_a_program_that_does_not_end_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "endless.py").write_text("import time\nprint('began', flush=True)\ntime.sleep(60)\n", encoding="utf-8")
    monkeypatch.setattr(walking, "LIMIT_S", 1.0)
    outcome = as_process("python endless.py", tmp_path)
    assert outcome.status == walking.TOO_LONG
    assert "1.0 seconds" in outcome.said


@pytest.mark.parametrize("words", [["docs/no_such_page.md"], ["--only", "no such words"]])
def test_a_page_or_words_that_nothing_has_are_refused_and_not_called_well(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(words)
    assert ended.value.code == 2
