"""The page of a batch: everything in one file, names as text, nothing that runs, and links that lead somewhere."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

import numpy as np
import pytest

from MultiTaskSegLib.batch import BatchRow
from MultiTaskSegLib.gallery.batch_page import batch_page
from MultiTaskSegLib.picture.framed_picture import framed_picture
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.verdict_words import FOREIGN, KNOWN

PICTURE = framed_picture(np.zeros((4, 4, 3), np.uint8), KNOWN)
VERDICT = Verdict(False, 1.2345678, 1.4, 0.3, "heart", {"heart": 1.2})
NASTY = '<script>alert("1")</script>&amp;\'.nii.gz'
ALLOWED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "p",
    "main",
    "article",
    "img",
    "h2",
    "span",
    "dl",
    "dt",
    "dd",
    "a",
}


class Page(HTMLParser):
    """What a browser would find in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + "\n"

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_names_cannot_add_markup_and_nothing_runs_or_is_fetched(tmp_path):
    row = BatchRow(
        NASTY, NASTY, KNOWN, 0.3, {NASTY: 1.5}, 2.0, (NASTY,), "", VERDICT, NASTY, "ab", NASTY, thumbnail=PICTURE
    )
    page = Page(batch_page([row, BatchRow(NASTY, error=NASTY)], tmp_path))
    assert page.open == []
    assert {tag for tag, _ in page.tags} <= ALLOWED
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count(NASTY) >= 8
    assert [attributes["src"].split(",")[0] for attributes in page.of("img")] == ["data:image/png;base64"]
    assert page.of("img")[0]["alt"] == NASTY
    assert "url(" not in batch_page([row], tmp_path)


def test_each_image_has_its_picture_verdict_and_figures(tmp_path):
    rows = [
        BatchRow("one", "hearts", KNOWN, 0.3, {"ventricle": 12.3456}, 2.0, ("odd",), ood=VERDICT, thumbnail=PICTURE),
        BatchRow("two", "hearts", FOREIGN),
        BatchRow("three", error="damaged"),
    ]
    page = Page(batch_page(rows, tmp_path))
    assert base64.b64decode(page.of("img")[0]["src"].split(",")[1]) == PICTURE
    assert [attributes["style"] for attributes in page.of("span") if attributes["class"] == "verdict"] == [
        f"background: {colour}" for colour in ("#1b7f3b", "#b3261e", "#5c5f66")
    ]
    assert page.text.count("no picture") == 2
    for words in (
        "3 images: 1 in distribution, 1 out of distribution, 1 not done",
        "ventricle [mL]",
        "12.35",
        "1.235",
        "damaged",
        "odd",
    ):
        assert words in page.text


@pytest.mark.parametrize(
    ("volume_ml", "text"), [(12345.6, "12346"), (9999.6, "10000"), (1234.56, "1235"), (-0.00123456, "-0.001235")]
)
def test_large_volumes_are_written_out(tmp_path, volume_ml, text):
    page = Page(batch_page([BatchRow("x", volumes_ml={"liver": volume_ml})], tmp_path))
    assert text in page.text.splitlines()


@pytest.mark.parametrize("name", ["plain", "with blank", "50% #1?", "ü:<b>'\"&"])
def test_links_lead_to_the_files_of_the_result_also_after_the_folder_was_moved(tmp_path, name):
    home = tmp_path / "results"
    (home / name).mkdir(parents=True)
    (home / name / "report.json").touch()
    page = Page(batch_page([BatchRow("x", output=str(home / name))], home))
    (link,) = page.of("a")
    assert not urlparse(link["href"]).scheme
    home = home.rename(tmp_path / "moved")
    assert (home / unquote(link["href"])).is_file()


def test_files_elsewhere_are_linked_to_where_they_are(tmp_path):
    (tmp_path / "else where").mkdir()
    file = tmp_path / "else where" / "report.json"
    file.touch()
    (link,) = Page(batch_page([BatchRow("x", output=str(file.parent))], tmp_path / "results")).of("a")
    assert Path(url2pathname(urlparse(link["href"]).path)) == file.resolve()
