"""How much memory Linux control groups leave this process: containers, batch jobs and services are limited by them.

A process is in one group of a tree, and every group above limits it, too: a job of a cluster mostly has its limit some
levels below the root. ``/proc/self/cgroup`` names the group, and ``/proc/self/mountinfo`` says where the tree is to be
found (``man 7 cgroups``; a container may see only a part of it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

GROUP_FILE, MOUNT_FILE = Path("/proc/self/cgroup"), Path("/proc/self/mountinfo")
MEMORY = "memory"


@dataclass(frozen=True)
class _Version:
    """Names of a version's files."""

    limits: tuple[str, ...]
    usage: str
    statistics: str = "memory.stat"


# Beyond "high" the second version slows a process down until it hardly moves, so that it is a limit, too.
FIRST = _Version(("memory.limit_in_bytes",), "memory.usage_in_bytes")
SECOND = _Version(("memory.max", "memory.high"), "memory.current")


@dataclass(frozen=True)
class GroupMemory:
    """Memory of one group.

    Attributes:
        limit_bytes: what it may take at most.
        room_bytes: what it may still take.
    """

    limit_bytes: int
    room_bytes: int


def group_memories(group_file: Path = GROUP_FILE, mount_file: Path = MOUNT_FILE) -> list[GroupMemory]:
    """Of the groups that this process is in and that are limited: its own one and all above it, of both versions."""
    groups, mounts = _read(group_file), _read(mount_file)
    found = (_memory(folder, version) for folder, version in _folders(groups, mounts))
    return [memory for memory in found if memory is not None]


def _folders(groups: str, mounts: str) -> Iterator[tuple[Path, _Version]]:
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        version = FIRST if MEMORY in controllers.split(",") else None if controllers else SECOND
        if version is None:
            continue
        for root, place in _mounted(mounts, version):
            yield from ((folder, version) for folder in _upwards(place, _below(PurePosixPath(group), root)))


def _mounted(mounts: str, version: _Version) -> Iterator[tuple[PurePosixPath, Path]]:
    """Roots within the tree and where they are mounted, of the trees that limit memory."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        is_first = kind[0] == "cgroup" and MEMORY in kind[2].split(",")
        if is_first if version is FIRST else kind[0] == "cgroup2":
            yield PurePosixPath(_unescaped(fields[3])), Path(_unescaped(fields[4]))


def _below(group: PurePosixPath, root: PurePosixPath) -> PurePosixPath:
    """The group's way from the root of what is mounted; nothing where it lies elsewhere: then the root limits it."""
    inside = group.is_relative_to(root) and ".." not in group.parts
    return group.relative_to(root) if inside else PurePosixPath()


def _upwards(place: Path, group: PurePosixPath) -> Iterator[Path]:
    yield place / group
    for above in group.parents:
        yield place / above


def _memory(folder: Path, version: _Version) -> GroupMemory | None:
    limits = [_number(_read(folder / name)) for name in version.limits]
    limit, used = min((n for n in limits if n is not None), default=None), _number(_read(folder / version.usage))
    if limit is None or used is None:
        return None
    # Files that were read and not used lately can be dropped at once, so they do not count.
    cache = re.search(
        r"^(?:total_)?inactive_file (\d+)", _hierarchical(_read(folder / version.statistics)), re.MULTILINE
    )
    return GroupMemory(limit, max(0, limit - used + (int(cache.group(1)) if cache else 0)))


def _hierarchical(statistics: str) -> str:
    """In the first version ``total_`` figures count the groups below, too, as the usage does."""
    total = [line for line in statistics.splitlines() if line.startswith("total_")]
    return "\n".join(total) if total else statistics


def _unescaped(text: str) -> str:
    """Blanks in mounted paths are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None
