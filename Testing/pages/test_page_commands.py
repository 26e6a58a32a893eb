"""Every command on a page is run, or listed with a reason; and what is run is what the programs take."""

from __future__ import annotations

import argparse
import io
import shlex
import sys
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from Testing.house.source_tree import tracked_files
from Testing.pages.exceptions import NAMED, NOT_RUN, SHORTER, STATUS
from Testing.pages.page_commands import FENCE, PROGRAMS, SHELLS, PageCommand, all_commands, commands_of
from Testing.pages.plan import STANDS_FOR, options, plan, planned, shorter
from Testing.pages.promises import LEAVES, SAME, SAYS
from Testing.pages.usage import USAGE

MAINS = {"multitaskseg": "MultiTaskSegLib.runtime.cli", "multitaskseg-trainer": "trainer.cli", "trainer": "trainer.cli"}
# They take no options: what they are given is a folder, or nothing.
WITHOUT_PARSER = {"MultiTaskSegLib.runtime.worker": 0, "trainer.phantom.sample": 1}
# Asks an application on import; its own tests are in Testing/slicer.
NEEDS_SLICER = ("Testing.bench.surface_volume", "Testing.slicer.screenshots")


class Understood(Exception):
    """The parser has taken the words; nothing is to be done."""


def texts() -> set[str]:
    return {one.text for one in all_commands()}


def everything_run() -> list[str]:
    return list(dict.fromkeys(text for one in plan() for text in one.runs))


def module_and_words(text: str) -> tuple[str, list[str]] | None:
    """The module behind a command and what follows; None where it is no program of this project."""
    words = shlex.split(text)
    if words[0] == "torchrun":  # its own words are looked at by Testing/trainer/distributed
        words = ["python", *words[words.index("-m") :]]
    if words[0] in MAINS:
        return MAINS[words[0]], words[1:]
    if words[0].startswith("python") and words[1] == "-m":
        return MAINS.get(words[2], words[2]), words[3:]
    return None


def refusal(text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the program says instead of taking the words; empty where it takes them."""
    module, words = module_and_words(text) or ("", [])
    if module in WITHOUT_PARSER:
        return "" if len(words) == WITHOUT_PARSER[module] and find_spec(module) else "other words"
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


@pytest.mark.parametrize("text", everything_run())
def test_what_is_run_for_a_page_is_what_the_program_takes(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module_and_words(text) is not None, "neither a program of this project nor listed with a reason"
    if not any(name in text for name in NEEDS_SLICER):
        assert refusal(text, monkeypatch) == ""


@pytest.mark.parametrize(
    "text",
    ["multitaskseg segment", "multitaskseg chek", "python -m trainer verify A --fast", "multitaskseg check"],
)
def test_a_wrong_command_would_be_noticed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = commands_of("a.md", f"```\n{text}\n```")
    (run,) = planned(one).runs
    assert refusal(run, monkeypatch)


def test_a_foreign_program_that_is_not_listed_would_be_noticed() -> None:
    one = planned(PageCommand("a.md", "pip install something", "block"))
    assert one.runs
    assert module_and_words(one.runs[0]) is None


def test_nothing_that_is_run_still_stands_for_something() -> None:
    assert [text for text in everything_run() if STANDS_FOR.search(text.replace("-o DIR", ""))] == []


def test_a_command_that_is_broken_over_two_lines_is_seen() -> None:
    found = list(commands_of("a.md", "Or `no` command, `multitaskseg info\nMODEL`, and\n`python -m\ntrainer chek`.\n"))
    assert [one.text for one in found] == ["multitaskseg info MODEL", "python -m trainer chek"]


def test_of_a_script_its_last_line_is_the_command() -> None:
    text = "```bash\n#!/bin/bash\nset -eu\nsrun torchrun \\\n  -m trainer train\n```\n"
    assert [one.text for one in commands_of("a.md", text)] == ["srun torchrun -m trainer train"]


def test_words_are_replaced_as_a_whole() -> None:
    assert shorter("train --minutes 60 -o a") == "train --minutes 0.01 --config small.toml -o a"
    assert shorter("train --minutes 609") == "train --minutes 609"
    assert shorter("train --steps 60000") == "train --steps 60000"


@pytest.mark.parametrize(
    "system, name", [("win32", "torchrun"), ("darwin", "Testing.hostile.campaign"), ("win32", "memory_probe")]
)
def test_what_a_system_cannot_run_is_listed_there(system: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    named = [one for one in map(planned, all_commands()) if name in one.command.text]
    assert named
    assert all(one.reason and not one.runs for one in named)


def test_every_line_of_a_shell_s_block_is_a_command() -> None:
    for path in tracked_files("*.md"):
        for block in FENCE.finditer(path.read_text(encoding="utf-8")):
            lines = [one.text for one in commands_of("a.md", block[0])] if block[1] in SHELLS else []
            assert [line for line in lines if not PROGRAMS.match(line)] == [], path.name


def stale(listed: Iterable[str], there: Iterable[str]) -> list[str]:
    known = set(there)
    return [text for text in listed if text not in known]


@pytest.mark.parametrize("table", [NOT_RUN, NAMED, USAGE], ids=["not run", "named", "usage"])
def test_what_is_listed_stands_on_a_page(table: Iterable[str]) -> None:
    assert stale(table, texts()) == []


def test_what_stands_on_no_page_any_more_would_be_noticed() -> None:
    assert stale([*NOT_RUN, "pip install gone"], texts()) == ["pip install gone"]


@pytest.mark.parametrize("table", [STATUS, LEAVES, SAYS, SAME], ids=["status", "leaves", "says", "same"])
def test_what_is_expected_of_a_command_is_expected_of_one_that_is_run(table: Iterable[str]) -> None:
    # Also of those that this Python cannot run.
    runs = [run for one in all_commands() for run in USAGE.get(one.text, (shorter(one.text),))]
    assert stale(table, runs) == []


def test_files_that_a_command_leaves_are_named_on_a_page(repository: Path) -> None:
    told = "".join(path.read_text("utf-8") for path in [repository / "README.md", *(repository / "docs").glob("*.md")])
    names = {Path(name).name.removeprefix("scan_") for names in LEAVES.values() for name in names}
    assert [name for name in sorted(names) if name not in told] == []


@pytest.mark.parametrize("one", SHORTER, ids=lambda one: one.written)
def test_words_that_are_replaced_stand_on_a_page_and_the_reason_is_told(one: Any) -> None:
    assert any(one.written in text for text in texts() - set(NOT_RUN) - set(USAGE))
    assert one.reason


@pytest.mark.parametrize("text", USAGE)
def test_what_is_run_for_a_usage_line_gives_every_option_it_names(text: str) -> None:
    # A cluster's address would need one; --executor of another kind is chosen by the same word.
    assert options(text) - {"--address"} - options(" ".join(USAGE[text])) == set()


def test_an_option_that_no_run_gives_would_be_noticed() -> None:
    assert options("multitaskseg models [--json] [--new N]") - options("multitaskseg models --json") == {"--new"}


@pytest.mark.parametrize("text", sorted(NAMED))
def test_a_command_that_a_sentence_names_is_run_or_listed_elsewhere_with_its_options(text: str) -> None:
    program = text.replace("python -m trainer", "multitaskseg-trainer").partition(" --")[0]
    whole = texts() - NAMED
    there = [one for one in whole if one.replace("python -m trainer", "multitaskseg-trainer").startswith(program)]
    assert there
    assert options(text) <= set().union(*map(options, there))


def parser_of(module: str, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    seen: list[argparse.ArgumentParser] = []

    def only_look(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        seen.append(parser)
        raise Understood

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", only_look)
        with pytest.raises(Understood):
            import_module(module).main([])
    return seen[0]


def commands_below(parser: argparse.ArgumentParser, name: str) -> dict[str, list[set[str]]]:
    """By command, the spellings of each of its options."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    found = {} if below else {name: [set(one.option_strings) for one in parser._actions if one.option_strings]}
    for action in below:
        for word, sub in action.choices.items():
            found |= commands_below(sub, f"{name} {word}")
    return found


def untold(commands: dict[str, list[set[str]]], lines: list[str], tables: str) -> dict[str, list[set[str]]]:
    """Commands without a line, and options that neither a line nor, of a cohort, its table names."""
    found: dict[str, list[set[str]]] = {}
    for name, spellings in commands.items():
        own = [line for line in lines if f"{line} ".startswith(f"{name} ")]
        told = set().union(*map(options, own))
        if "cohort" in name:
            told |= options(tables.replace("`", " "))
        left = [one for one in spellings if not one & (told | {"--help"})]
        if left or not own:
            found[name] = left
    return found


@pytest.mark.parametrize("program", ["multitaskseg", "multitaskseg-trainer"])
def test_every_command_and_option_of_the_programs_stands_on_a_page(
    program: str, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    lines = [one.text.replace("python -m trainer", "multitaskseg-trainer") for one in all_commands()]
    tables = (repository / "docs" / "cohorts.md").read_text("utf-8")
    known = commands_below(parser_of(MAINS[program], monkeypatch), program)
    assert len(known) > 5
    assert untold(known, lines, tables) == {}
    assert untold({f"{program} new": []}, lines, tables)
    name = next(iter(known))
    assert untold({name: [*known[name], {"--new"}]}, lines, tables) == {name: [{"--new"}]}


def test_the_pages_are_walked() -> None:
    found = all_commands()
    assert len(found) > 100
    pages = {one.page for one in found}
    assert {"README.md", "CONTRIBUTING.md", "docs/command_line.md", "docs/performance.md", "docs/slicer.md"} <= pages
    assert {"docs/models.md", "docs/results/ood-benchmark.md", "docs/models/mr3d.md"} <= pages
    assert any("Testing.runtime.memory_probe 16" in text for text in everything_run()) or sys.platform != "linux"
    assert len(everything_run()) > 80
