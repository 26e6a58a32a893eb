"""Nothing in the repository betrays the machine or the account on which it was written."""

from __future__ import annotations

import re

import pytest

from Testing.house.source_tree import REPOSITORY, tracked_files

# The classes keep each pattern from matching its own text here.
GIVEAWAYS = {
    "a folder of one machine": r"(?<![\w.:/])/(?:home|Users|root|work|mnt|scratch)/\w|[A-Za-z]:\\Users\\\w",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "an access token": r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16}|xox[abp]-\w{10,})",
    "an address inside a network": r"\b(?:192\.168|10\.\d{1,3})\.\d{1,3}\.\d{1,3}\b",
    "an unfinished note": r"\b(?:TO[D]O|FIX[M]E|X{3})\b",
}
TEXT = (".py", ".md", ".toml", ".yml", ".yaml", ".json", ".txt", ".cff", ".ui", ".cfg", ".sh", ".csv", ".html", ".svg")


def giveaways(text: str) -> list[str]:
    """What a text says that concerns nobody else."""
    return [f"{what}: {match.group()!r}" for what, p in GIVEAWAYS.items() for match in re.finditer(p, text)]


def test_no_file_betrays_where_it_was_written():
    found = []
    for path in tracked_files():
        if path.suffix in TEXT or path.suffix == "":
            name = path.relative_to(REPOSITORY).as_posix()
            found += [f"{name}: {what}" for what in giveaways(path.read_text("utf-8", errors="replace"))]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "home/somebody/data",
        "'/" + "Users/me'",
        "(/" + "root/x)",
        "path=/" + "work/x",
        "C:" + "\\Users\\me",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "ghp" + "_" + "a" * 36,
        "http://192" + ".168.0.1/",
        "# TO" + "DO later",
    ],
)
def test_a_giveaway_would_be_noticed(text: str):
    assert giveaways(text)


@pytest.mark.parametrize(
    "text", ["/data/images", "frame/work/flow", "homework", "https://x.org/home/y", "version 10.2.1"]
)
def test_an_innocent_text_is_not_mistaken_for_one(text: str):
    assert giveaways(text) == []
