"""Run every command of every page: ``python -m Testing.pages [PAGE...]``.

Ends with 0 when every command that is run does what its page says, else with 1. What is not run is listed with its
reason.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from Testing.pages.exceptions import SHORTER, STATUS
from Testing.pages.made_data import write_made_data
from Testing.pages.plan import Planned, plan
from Testing.pages.walk import Done, Runner, as_process, in_process, walk

LAST_LINES = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Walk, print, and tell whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m Testing.pages", description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="such as README.md; all of them by default")
    parser.add_argument("--only", default="", metavar="WORDS", help="commands with these words, such as a name")
    parser.add_argument(
        "--in-process", action="store_true", help="quicker: this project's programs are not started anew"
    )
    options = parser.parse_args(arguments)
    run = in_process if options.in_process else as_process
    chosen = [one for one in plan() if not options.pages or one.command.page in options.pages]
    commands = [one for one in chosen if options.only in one.command.text]
    if unknown := [page for page in options.pages if page not in {one.command.page for one in chosen}]:
        parser.error(f"no page with a command is called {', '.join(unknown)}")
    if not commands:
        parser.error(f"no command has the words {options.only}")
    with tempfile.TemporaryDirectory(prefix="pages", ignore_cleanup_errors=True) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        write_made_data(made)
        done = [
            one
            for number, page in enumerate(pages_of(commands))
            # Folders of their own: Windows may keep one open for a while.
            for one in walk_page(page, made, Path(scratch) / f"page{number}", run)
        ]
    tell(commands, done)
    return int(any(one.faults for one in done))


def pages_of(commands: Sequence[Planned]) -> list[list[Planned]]:
    """The commands of each page of which any is run."""
    names = list(dict.fromkeys(one.command.page for one in commands if one.runs))
    return [[one for one in commands if one.command.page == name] for name in names]


def walk_page(page: Sequence[Planned], made: Path, folder: Path, run: Runner) -> list[Done]:
    """In a fresh copy of what was made."""
    shutil.copytree(made, folder)
    _say(f"\n{page[0].command.page}")
    found = []
    for one in walk(page, folder, run):
        found.append(one)
        _say(f"  {'FAILED' if one.faults else 'ok    '} {one.seconds:6.1f} s  {one.text}")
        if one.faults:
            lines = one.said.splitlines()[-LAST_LINES:]
            _say("\n".join([f"      {fault}" for fault in one.faults] + [f"      | {line}" for line in lines]))
    shutil.rmtree(folder, ignore_errors=True)
    return found


def tell(commands: Sequence[Planned], done: Sequence[Done]) -> None:
    """What was not run and why, what was run shorter, and the counts."""
    listed = {one.command.text: one.reason for one in commands if not one.runs}
    _say("\nNot run:")
    _say("\n".join(f"  {text}\n      {reason}" for text, reason in listed.items()))
    _say("\nRun with other words:")
    _say("\n".join(f"  {one.written} -> {one.run}\n      {one.reason}" for one in SHORTER))
    _say("  configurations of the trainer are copies with small numbers and few runs: Testing/pages/made_data.py")
    _say("\nMay end with another status than 0:")
    _say("\n".join(f"  {status}: {text}\n      {reason}" for text, (status, reason) in STATUS.items()))
    run = sum(bool(one.runs) for one in commands)
    failed = sum(bool(one.faults) for one in done)
    _say(
        f"\n{len(commands)} commands on {len({one.command.page for one in commands})} pages: for {run} of them "
        f"{len(done)} were run in {sum(one.seconds for one in done):.0f} s, {failed} failed; "
        f"{len(commands) - run} are listed ({len(listed)} different ones)"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
