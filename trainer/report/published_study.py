"""A study among those of its experiment in a folder: a dated JSON file, its pictures, and the page of all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.report.published_json import as_read, write_published
from trainer.report.report import write_whole
from trainer.report.run_folder import write_text_file

Content = dict[str, Any]
Identity = Callable[[Mapping[str, Any]], tuple[str, ...]]
UNTITLED = "study"


@dataclass(frozen=True)
class StudyKind:
    """What the studies of one experiment have in common.

    Titles become parts of file names, where several are spelt alike; a study is known by what ``identity`` says.

    Attributes:
        prefix: of the file names: ``PREFIX-DATE-TITLE.json``, and ``PREFIX-DATE-TITLE-NAME.png`` of a picture.
        page: file name of the page of all studies.
        text: makes that page from the folder.
        identity: title, and what else tells two studies apart, of the content of a JSON file.
        pictures: all names that pictures can have; one without a name is ``PREFIX-DATE-TITLE.png``.
    """

    prefix: str
    page: str
    text: Callable[[Path], str]
    identity: Identity
    pictures: re.Pattern[str]

    def publish(
        self, path: Path, content: Content, draw: Callable[[Content], Mapping[str, bytes]]
    ) -> tuple[Path, Path]:
        """Write a study and the page; what was published of the same study on other days goes.

        Interrupted, the same call makes good what is missing: until the new JSON file is there, no other one is gone.

        Args:
            path: of the JSON file, see `study_path`.
            content: of the file.
            draw: PNG files by name, from the content as a reader finds it.

        Returns:
            Paths of the JSON file and of the page.

        Raises:
            UsageError: another study has the file name, or this one was published on a later day; nothing is written.
            ResourceError: a file cannot be written.
        """
        there = self.files_of(path.parent, _words(path, self.prefix), self.identity(content))
        if there and there[-1].name > path.name:
            remedy = "Remove it first, or give another title"
            raise UsageError("what is there was measured on a later day", file=there[-1], remedy=remedy)
        pictures = {picture_path(path, name): png for name, png in draw(as_read(content)).items()}
        for place, png in pictures.items():
            write_whole(place, png)
        write_published(path, content)
        for old in there:
            if old != path:
                old.unlink()
        page = path.parent / self.page
        write_text_file(page, self.text(path.parent))
        for old in self._needless_pictures(path, pictures):
            old.unlink()
        return path, page

    def files_of(self, folder: Path, words: str, own: tuple[str, ...]) -> list[Path]:
        """`files_of_study` of this kind."""
        return files_of_study(folder, self.prefix, words, self.identity, own)

    def _needless_pictures(self, path: Path, made: Collection[Path]) -> list[Path]:
        """Pictures of the study from other days, or with names that it no longer has."""
        words, files = _words(path, self.prefix), list(path.parent.glob(f"{self.prefix}-*.json"))
        needless = []
        for picture in path.parent.glob(f"{self.prefix}-*.png"):
            found = _words(picture, self.prefix)
            if picture in made or not f"{found}-".startswith(f"{words}-"):
                continue
            own = picture.stem.removesuffix(found) + words
            # Titles may begin alike: the pictures of "Study, cases of CT" begin as those of cases of "Study" do.
            longer = [file.stem for file in files if len(file.stem) > len(own)]
            is_another_s = any(f"{picture.stem}-".startswith(f"{stem}-") for stem in longer)
            if not is_another_s and self.pictures.fullmatch(found[len(words) + 1 :]):
                needless.append(picture)
        return needless


def file_words(title: str) -> str:
    """A title as a part of a file name.

    >>> file_words("From CT to MR!"), file_words("\u5fc3")
    ('from-ct-to-mr', 'study')
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or UNTITLED


def study_path(folder: Path, prefix: str, date: str, words: str) -> Path:
    """Where the JSON file of a study lies; ``date`` is ``YYYY-MM-DD``."""
    return folder / f"{prefix}-{date}-{words}.json"


def picture_path(path: Path, name: str) -> Path:
    """Where a picture of the study with this JSON file lies."""
    return path.with_name(f"{path.stem}-{name}.png" if name else f"{path.stem}.png")


def files_of_study(folder: Path, prefix: str, words: str, identity: Identity, own: tuple[str, ...]) -> list[Path]:
    """What was published of a study, the earliest first.

    Args:
        folder: of the files.
        prefix, identity: see `StudyKind`.
        words: in the names of its files, see `file_words`.
        own: identity of the study.

    Raises:
        UsageError: another study has these words in the name of its file, on whichever day.
    """
    files = []
    for file in sorted(folder.glob(f"{prefix}-*.json")):
        # Some file systems take capital letters for small ones.
        if _words(file, prefix).lower() != words.lower():
            continue
        found = identity(json.loads(file.read_text(encoding="utf-8")))
        if found != own:
            raise UsageError(
                f"{', '.join(own)} has the file name of another published study: {', '.join(found)}",
                file=file,
                remedy="Give another title; exactly the same one replaces what is there",
            )
        files.append(file)
    return files


def _words(path: Path, prefix: str) -> str:
    """What follows the date in a file's name, without its ending; nothing where there is no date."""
    found = re.fullmatch(rf"{re.escape(prefix)}-\d{{4}}-\d{{2}}-\d{{2}}-(.*)", path.stem)
    return found[1] if found else ""
