"""The documents point at things that exist, and the versions agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import MultiTaskSegLib
from Testing.house.source_tree import tracked_files

LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


def dead_links(text: str, folder: Path) -> list[str]:
    """Relative links of a Markdown text that lead nowhere."""
    return [target for target in LINK.findall(text) if not (folder / target).exists()]


def test_every_relative_link_leads_somewhere():
    dead = {path.name: dead_links(path.read_text("utf-8"), path.parent) for path in tracked_files("*.md")}
    assert {name: links for name, links in dead.items() if links} == {}


def test_a_dead_link_would_be_noticed(tmp_path: Path):
    assert dead_links("see [this](missing.md#part)", tmp_path) == ["missing.md"]
    assert dead_links("see [this](https://example.org/x.md) and [that](#part)", tmp_path) == []


def test_the_citation_has_the_version_of_the_package(repository: Path):
    citation = (repository / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {MultiTaskSegLib.__version__}\n" in citation
    assert MultiTaskSegLib.__version__ in (repository / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize(
    "name", ["README.md", "LICENSE.txt", "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
)
def test_the_documents_that_people_look_for_are_there(name: str, repository: Path):
    assert (repository / name).stat().st_size > 500


def test_the_files_on_the_way_of_an_image_exist(repository: Path):
    page = (repository / "CONTRIBUTING.md").read_text("utf-8").split("```mermaid")[1].split("```")[0]
    runtime = repository / "MultiTaskSeg" / "MultiTaskSegLib" / "runtime"
    named = set(re.findall(r"[\w/]+\.py", page))
    assert len(named) > 10
    assert {name for name in named if not (runtime / name).is_file()} == set()
    stages = re.findall(r"<b>(\w+)</b>", page)
    assert stages == ["read", "prepare", "encode", "judge", "decode", "label", "report"]


def test_the_rooms_that_a_contributor_is_sent_to_exist(repository: Path):
    page = (repository / "CONTRIBUTING.md").read_text("utf-8")
    table = page.split("| you want to change |")[1].split("\n\n")[0]
    named = re.findall(r"`([\w/.]+)`", table)
    library = repository / "MultiTaskSeg" / "MultiTaskSegLib"
    places = (repository, library, repository / "MultiTaskSeg", repository / "OODCheck")
    assert len(named) > 15
    assert {name for name in named if not any((place / name).exists() for place in places)} == set()
