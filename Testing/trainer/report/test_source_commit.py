"""Which commit made a result."""

from __future__ import annotations

import subprocess
from pathlib import Path

from trainer.report.source_commit import source_commit


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def checkout(folder: Path) -> Path:
    (folder / "trainer").mkdir()
    (folder / "trainer" / "loss.py").write_text("1\n", encoding="utf-8")
    (folder / "notes.txt").write_text("1\n", encoding="utf-8")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        git(folder, *arguments)
    return folder


def test_a_clean_checkout_has_the_hash_of_its_commit(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    assert source_commit(folder) == git(folder, "rev-parse", "HEAD")


def test_changed_sources_are_told_and_other_changes_are_not(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    (folder / "notes.txt").write_text("2\n", encoding="utf-8")
    head = git(folder, "rev-parse", "HEAD")
    assert source_commit(folder) == head
    (folder / "trainer" / "loss.py").write_text("2\n", encoding="utf-8")
    assert source_commit(folder) == f"{head}+changes"


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path) -> None:
    assert source_commit(tmp_path) is None
