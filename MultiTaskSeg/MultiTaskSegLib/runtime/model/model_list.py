"""The list of models that can be chosen: the released ones and the user's own, from the headers of their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError, MtsError
from MultiTaskSegLib.runtime.model.file_header import header_manifest
from MultiTaskSegLib.runtime.model.model_folder import ENDING, model_folder, user_models
from MultiTaskSegLib.runtime.model.released import NAMES, released_models
from MultiTaskSegLib.runtime.model.weights_licence import licence_of_data

SHOWN_LABELS = 12
BYTES_PER_KB, BYTES_PER_MB = 1e3, 1e6
KEPT_LETTERS = 200  # of a text out of a file
NO_REFERENCE = "the model has no reference images to compare with"


@dataclass(frozen=True)
class ListedTask:
    """What the header of a model file says of one task.

    Attributes:
        name, modality, anatomy: as the model has them; the latter two may be empty.
        labels: names of its structures, for people.
        inputs: names of the image's channels, in their order; none for one channel without a name.
    """

    name: str
    modality: str = ""
    anatomy: str = ""
    labels: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListedModel:
    """One model of the list.

    Attributes:
        name: that chooses it, unique in the list.
        path: of its file.
        is_released: whether it comes with MultiTaskSeg; the others are the user's own.
        size_bytes: of the file.
        tasks: what it segments.
        is_planar: whether it is for 2-D images.
        licence: of the weights, in a few words.
        licence_text: the same with the reasons.
        is_checked: whether it has reference images, so that it says whether an image is like them.
        problem: why it cannot be used; empty where its header is sound. The content is checked when it is used.
        is_imported: whether nnU-Net trained it.
    """

    name: str
    path: Path
    is_released: bool
    size_bytes: int = 0
    tasks: tuple[ListedTask, ...] = field(default=())
    is_planar: bool = False
    licence: str = ""
    licence_text: str = ""
    is_checked: bool = False
    problem: str = ""
    is_imported: bool = False

    def takes(self, is_planar: bool) -> bool:
        """Whether it is for 2-D images (``is_planar``), or for volumes; networks of nnU-Net for slices are for both."""
        return self.is_planar == is_planar or (self.is_planar and self.is_imported)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of all tasks, each once."""
        return tuple(dict.fromkeys(task.modality for task in self.tasks if task.modality))

    @property
    def channels(self) -> tuple[tuple[str, ...], ...]:
        """Lists of channels that the tasks take, each once; an empty one for a single channel without a name."""
        return tuple(dict.fromkeys(task.inputs for task in self.tasks))

    def segments(self, short: bool = False) -> str:
        """What it segments: its tasks, or the structures of the only one."""
        if len(self.tasks) != 1:
            return ", ".join(task.name for task in self.tasks)
        (task,) = self.tasks
        shown = ", ".join(task.labels[:SHOWN_LABELS])
        more = f" and {len(task.labels) - SHOWN_LABELS} more" if len(task.labels) > SHOWN_LABELS else ""
        labels = f"{shown}{more}" or "nothing: it was trained without labels"
        return labels if short else f"{task.name}: {labels}"

    def channel_text(self) -> str:
        """The channels of an image, for people: ``1``, or their names."""
        return "; ".join(" + ".join(names) if names else "1" for names in self.channels)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``multitaskseg models --json`` prints them."""
        tasks = [
            {
                "name": task.name,
                "modality": task.modality,
                "anatomy": task.anatomy,
                "labels": list(task.labels),
                "inputs": list(task.inputs),
            }
            for task in self.tasks
        ]
        return {
            "name": self.name,
            "file": str(self.path),
            "released": self.is_released,
            "bytes": self.size_bytes,
            "planar": self.is_planar,
            "tasks": tasks,
            "licence": self.licence_text,
            "checked": self.is_checked,
            "problem": self.problem or None,
        }

    def size_text(self) -> str:
        """Size of the file, in kB where it is so small that there is little to be read in MB."""
        if self.size_bytes < BYTES_PER_MB:
            return f"{max(1, round(self.size_bytes / BYTES_PER_KB))} kB"
        return f"{self.size_bytes / BYTES_PER_MB:.1f} MB"

    def lines(self) -> list[str]:
        """The model for people, in lines."""
        kind = f"{'released' if self.is_released else 'your own'}, {self.size_text()}"
        if self.problem:
            return [f"{self.name} ({kind})", f"  cannot be used: {self.problem}"]
        return [
            f"{self.name} ({kind}, {'2-D' if self.is_planar else '3-D'})",
            f"  segments {self.segments()}",
            f"  modality: {', '.join(self.modalities) or 'not told'}; channels: {self.channel_text()}",
            f"  licence: {self.licence_text}",
            f"  {'images are checked' if self.is_checked else f'images are not checked: {NO_REFERENCE}'}",
            f"  file: {self.path}",
        ]


def listed_models(folder: Path | None = None) -> list[ListedModel]:
    """The released models, then the user's own by name; one that cannot be used is in the list with the reason.

    Args:
        folder: of the user's models; the usual one by default.
    """
    released = [listed_model(path.name.removesuffix(ENDING), path, True) for path in released_models()]
    return released + list(_own(folder))


def _own(folder: Path | None) -> Iterator[ListedModel]:
    try:
        place = model_folder() if folder is None else folder
        files = user_models(place, NAMES)
    except MtsError as error:
        # The others must not be hidden with it.
        yield ListedModel("", Path(error.file or ""), False, problem=str(error))
        return
    for name, path in files.items():
        yield listed_model(name, path, False)


def listed_model(name: str, path: Path, is_released: bool = False) -> ListedModel:
    """One file as an entry of the list."""
    try:
        size_bytes = path.stat().st_size
    except OSError:
        size_bytes = 0
    try:
        manifest = header_manifest(path)
        return _described(ListedModel(name, path, is_released, size_bytes), manifest)
    except ModelError as error:
        return ListedModel(name, path, is_released, size_bytes, problem=error.what)
    except (KeyError, TypeError, ValueError, AttributeError):
        return ListedModel(name, path, is_released, size_bytes, problem="this is no model of MultiTaskSeg")


def _described(model: ListedModel, manifest: Mapping[str, Any]) -> ListedModel:
    entries = list(manifest["tasks"])
    short, words = _licence(manifest, entries)
    return ListedModel(
        model.name,
        model.path,
        model.is_released,
        model.size_bytes,
        tuple(_task(entry) for entry in entries),
        _is_planar(manifest, entries),
        short,
        words,
        manifest.get("ood") is not None,
        is_imported="kind" in manifest,
    )


def _is_planar(manifest: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> bool:
    if "kind" in manifest:
        return len(manifest["plan"]["preparation"]["patch"]) == len(("y", "x"))
    return bool(entries) and all((entry.get("profile") or {}).get("grid") == "fit" for entry in entries)


def _licence(manifest: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Of the weights, in a few words and with the reasons: as stated for an imported model, else from its data."""
    if isinstance(manifest.get("licence"), str):
        stated = _text(manifest["licence"])
        return stated, f"{stated} (as stated at the import)"
    licence = licence_of_data(
        [(_text(entry["name"]), _text(entry.get("licence", "")), _may_use(entry)) for entry in entries],
        (manifest.get("training") or {}).get("provenance"),
    )
    return " and ".join(dict.fromkeys(known.name for known in licence.strictest)) or "not known", licence.text()


def _may_use(entry: Mapping[str, Any]) -> bool | None:
    said = (entry.get("data") or {}).get("released_weights_may_use")
    return said if isinstance(said, bool) else None


def _task(entry: Mapping[str, Any]) -> ListedTask:
    return ListedTask(
        _text(entry["name"]),
        _text(entry.get("modality", "")),
        _text(entry.get("anatomy", "")),
        tuple(_text(label["display_name"]) for label in entry.get("labels", ())),
        tuple(_text(name) for name in entry.get("inputs", ())),
    )


def _text(value: Any) -> str:
    """A text out of a file, without what moves the cursor of a terminal, and not too long."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(value))
    return shown if len(shown) <= KEPT_LETTERS else f"{shown[:KEPT_LETTERS]}..."
