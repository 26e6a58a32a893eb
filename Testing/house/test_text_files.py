"""Text files: line endings, white space, syntax and size, whoever commits them and on whatever system."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from Testing.house.source_tree import REPOSITORY, tracked_files

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

LARGEST_BYTES = 10 * 2**20
MARKS = ("<<<<<<< ", ">>>>>>> ")
PARSERS: dict[str, Callable[[str], Any]] = {
    ".json": json.loads,
    ".toml": tomllib.loads,
    ".yml": yaml.safe_load,
    ".yaml": yaml.safe_load,
    ".ui": ElementTree.fromstring,
    ".svg": ElementTree.fromstring,
}


def faults(name: str, content: bytes) -> list[str]:
    """What is wrong with a file; one with a zero byte is no text."""
    found = [f"{name}: larger than 10 MB"] if len(content) > LARGEST_BYTES else []
    if b"\0" in content or not content:
        return found
    text = content.decode("utf-8")
    found += [f"{name}: CRLF"] if "\r" in text else []
    found += [] if re.search(r"[^\n]\n\Z", text) else [f"{name}: does not end with one line feed"]
    lines = text.splitlines()
    found += [f"{name}: mark of a merge"] if any(line.startswith(MARKS) for line in lines) else []
    if not name.endswith((".md", ".svg")) and any(line != line.rstrip() for line in lines):
        found.append(f"{name}: white space at the end of a line")
    parse = PARSERS.get(Path(name).suffix)
    if parse is not None:
        try:
            parse(text)
        except (ValueError, yaml.YAMLError, ElementTree.ParseError) as error:
            found.append(f"{name}: {error}")
    return found


def test_every_file_is_as_it_should_be():
    names = [path.relative_to(REPOSITORY).as_posix() for path in tracked_files(also_new=True)]
    found = [text for name in names for text in faults(name, (REPOSITORY / name).read_bytes())]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.py", b"a\r\n"),
        ("a.py", b"a"),
        ("a.py", b"a\n\n"),
        ("a.py", b"a \n"),
        ("a.py", b"<<<<<<< here\n"),
        ("a.json", b"{\n"),
        ("a.toml", b"a =\n"),
        ("a.yml", b"a: [\n"),
        ("a.ui", b"<ui>\n"),
        ("a.bin", b"\0" * (LARGEST_BYTES + 1)),
    ],
)
def test_a_file_that_is_not_would_be_noticed(name: str, content: bytes):
    assert len(faults(name, content)) == 1


def test_hooks_fetch_nothing_and_need_no_activated_environment():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text("utf-8"))
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    for hook in hooks["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith("sh .ci/in-environment ")
