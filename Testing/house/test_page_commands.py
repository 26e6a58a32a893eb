"""Every command on a page is one that the program takes; those of the README are run, small, as they are written."""

from __future__ import annotations

import argparse
import io
import re
import shutil
import sys
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime import cli
from Testing.house.page_commands import FENCE, PageCommand, command, commands_of
from Testing.house.source_tree import tracked_files
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli as trainer_cli

REPOSITORY = Path(__file__).resolve().parents[2]
MAINS = {"multitaskseg": "MultiTaskSegLib.runtime.cli", "trainer": "trainer.cli"}
HISTORY = "CHANGELOG.md"
# They take no options: what they are given is a folder, or nothing.
WITHOUT_PARSER = {"Testing.bench.document": 1, "MultiTaskSegLib.runtime.worker": 0, "trainer.phantom.sample": 1}
SMALL = """
channels = [4, 6]
patches_per_group = 2
groups_per_step = 1
patch_voxels = 1024
workers = 0
validations = 0
minimum_validation_groups = 2
threads = 1
"""


class Understood(Exception):
    """The parser has taken the words; nothing is to be done."""


def page_commands() -> list[PageCommand]:
    found = {str(one): one for page in tracked_files("*.md") if page.name != HISTORY for one in commands_of(page)}
    return [found[key] for key in sorted(found)]


def understand(one: PageCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the program's own parser, and do nothing else.

    Raises:
        AssertionError: it refuses the words.
    """
    module = MAINS.get(one.program, one.program)
    if one.program in WITHOUT_PARSER:
        assert find_spec(module) is not None
        assert len(one.words) in (0, WITHOUT_PARSER[one.program])
        return
    said = refusal(module, list(one.words), monkeypatch)
    if said and not one.is_complete and re.search("argument.* (are|is) required", said):
        # A sentence may leave out what else is needed, but names no option that there is not.
        shown = refusal(module, [*one.words, "--help"], monkeypatch)
        said = " ".join(word for word in one.words if word.startswith("--") and word not in shown)
    assert not said, f"{one} is refused: {said}"


def refusal(module: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the program says instead of taking the words; empty where it takes them."""
    parse, said = argparse.ArgumentParser.parse_args, io.StringIO()

    def only_parse(parser: argparse.ArgumentParser, *given: Any, **named: Any) -> None:
        with redirect_stdout(said), redirect_stderr(said):
            parse(parser, *given, **named)
        raise Understood

    name = f"{module}.__main__" if hasattr(import_module(module), "__path__") else module
    main = import_module(name).main
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
        patch.setattr(sys, "argv", [module, *words])
        try:
            main() if main.__code__.co_argcount == 0 else main(words)
        except Understood:
            return ""
        except SystemExit:
            return said.getvalue()
    return "it asks no parser"


@pytest.mark.parametrize("one", page_commands(), ids=str)
def test_a_command_on_a_page_is_one_that_the_program_takes(one: PageCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    understand(one, monkeypatch)


@pytest.mark.parametrize(
    "line",
    ["multitaskseg segment", "multitaskseg chek", "python -m trainer verify A --fast", "multitaskseg check"],
)
def test_a_wrong_command_would_be_noticed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = command("a.md", line, is_complete=True)
    assert one is not None
    with pytest.raises(AssertionError, match="is refused"):
        understand(one, monkeypatch)


def test_a_wrong_option_in_a_sentence_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for line, is_right in (("multitaskseg segment --task A", True), ("multitaskseg segment --tusk A", False)):
        one = command("a.md", line, is_complete=False)
        assert one is not None
        with nullcontext() if is_right else pytest.raises(AssertionError, match="--tusk"):
            understand(one, monkeypatch)


def test_the_pages_are_walked() -> None:
    found = page_commands()
    assert len(found) > 50
    assert {"README.md", "command_line.md", "performance.md", "slicer.md", "transfer.md"} <= {one.page for one in found}
    assert any(one.program == "Testing.runtime.memory_probe" and one.words for one in found)


def test_the_commands_of_the_readme_do_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, modality in (("Dataset201_KidneyCT", "CT"), ("Dataset202_LiverCT", "CT")):
        BallDataset(name, shape=(6, 12, 12), modality=modality, region="abdomen").write(tmp_path)
    shutil.copyfile(tmp_path / "Dataset201_KidneyCT/imagesTr/case_00_0000.nii.gz", tmp_path / "scan.nii.gz")
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    blocks = [block for block in FENCE.findall(text) if "multitaskseg segment" in block]
    lines = [line.partition("  #")[0].strip() for block in blocks[::-1] for line in block.splitlines()]
    done = [one for line in lines if (one := command("README.md", line, is_complete=True))]
    for one in done:
        # The same words, but a small network, half a second instead of an hour, and its model for the images.
        words = ["0.01" if word == "60" else word for word in one.words]
        small = ["--config", "small.toml"] if one.words[0] == "train" else []
        own = ["-m", "mine.mts.safetensors"] if one.words[0] in ("segment", "check") and "-m" not in one.words else []
        run = trainer_cli.main if one.program == "trainer" else cli.main
        assert run([*words, *small, *own]) in (0, 3), str(one)
    assert {one.words[0] for one in done} == {"verify", "train", "segment", "check", "info"}
    assert (tmp_path / "result" / "report.json").is_file()
