"""The files of one image of several channels: in the model's order, or by the names of the channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.image.volume import Volume

AUTO = "auto"


def named_files(words: Sequence[str]) -> dict[str, Path]:
    """Files by channel, from ``NAME=FILE``.

    Raises:
        UsageError: a word is no such pair, or a channel is named twice.

    >>> named_files(["T1=a.nii.gz"])["T1"].name
    'a.nii.gz'
    """
    files: dict[str, Path] = {}
    for word in words:
        name, mark, file = word.partition("=")
        if not (name and mark and file):
            raise UsageError(
                f"--channel {word!r} is not NAME=FILE", remedy="Give for example --channel FLAIR=flair.nii"
            )
        if name.casefold() in (known.casefold() for known in files):
            raise UsageError(f"the channel {name} is given twice", remedy="Give each channel one file")
        files[name] = Path(file)
    return files


def ordered_files(
    files: Mapping[str, Path], inputs: Mapping[str, tuple[str, ...]], task: str = AUTO
) -> dict[str, Path]:
    """Files by channel, in the order in which a model takes them.

    Args:
        files: by channel; large and small letters are the same.
        inputs: by task of the model, the names of its channels.
        task: that is wanted, or ``auto``: whichever has these channels.

    Raises:
        UsageError: there is no such task, none has exactly these channels, or tasks have them in different orders.
    """
    if task not in (AUTO, *inputs):
        raise UsageError(f"the model has no task {task!r}", remedy=f"Use {AUTO} or one of {', '.join(inputs)}")
    given = {name.casefold(): path for name, path in files.items()}
    wanted = {name: own for name, own in inputs.items() if task in (AUTO, name) and own}
    fitting = {own for own in wanted.values() if {name.casefold() for name in own} == set(given)}
    if not fitting:
        known = "; ".join(f"{name} takes {', '.join(own)}" for name, own in wanted.items())
        raise UsageError(
            f"no task has the channels {', '.join(files)}",
            remedy=f"{known}. Give these"
            if known
            else f"{'Images of the model' if task == AUTO else f'Images of {task}'} have one channel without a name: "
            "give the image without --channel",
        )
    if len(fitting) > 1:
        raise UsageError(
            "tasks of the model take these channels in different orders", remedy="Name the task with --task"
        )
    return {name: given[name.casefold()] for name in fitting.pop()}


def read_channels(paths: Sequence[Path], names: Sequence[str] = ()) -> Volume:
    """One volume from the files of its channels, in the model's order; see `joined`.

    Args:
        paths: at least one.
        names: of the channels, where they are known.

    Raises:
        InputError: a file cannot be read or shows nothing, or a channel does not overlap with the first.
    """
    # Late: SimpleITK takes time and memory to load.
    from MultiTaskSegLib.runtime.image.channel_set import joined
    from MultiTaskSegLib.runtime.image.image_file import read_image, require_contrast

    volumes = [read_image(path) for path in paths]
    for volume in volumes:
        require_contrast(volume)
    return volumes[0] if len(volumes) == 1 else joined(volumes, names)
