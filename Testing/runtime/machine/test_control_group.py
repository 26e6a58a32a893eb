"""Limits of control groups: both versions, at any depth, on machines and in containers that see a part of the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.machine.control_group import GroupMemory, group_memories

UNLIMITED_FIRST = 9223372036854771712
FIRST, SECOND = "cgroup cgroup rw,memory", "cgroup2 cgroup2 rw,nsdelegate"


def group(folder: Path, version: int, limit: int | str, used: int = 0, cache: int = 0, **more: str) -> None:
    """The files of one group; those of groups below count in its usage and, in the first version, as ``total_``."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
    statistics = f"inactive_file 3\ntotal_inactive_file {cache}" if version == 1 else f"anon 5\ninactive_file {cache}"
    for name, text in zip((*names, "memory.stat"), (limit, used, statistics), strict=True):
        (folder / name).write_text(f"{text}\n")
    for name, text in more.items():
        (folder / f"memory.{name}").write_text(text)


def found(tmp_path: Path, groups: str, *mounts: tuple[str, Path, str]) -> list[GroupMemory]:
    """What is read where ``mounts`` (root, place, kind) are mounted."""
    lines = [
        f"35 31 0:32 {root} {str(at).replace(' ', chr(92) + '040')} rw shared:9 - {kind}" for root, at, kind in mounts
    ]
    (tmp_path / "cgroup").write_text(groups)
    (tmp_path / "mountinfo").write_text("\n".join(["23 1 8:1 / / rw - ext4 /dev/sda1 rw", *lines]) + "\n")
    return group_memories(tmp_path / "cgroup", tmp_path / "mountinfo")


@pytest.mark.parametrize(("version", "kind"), [(1, FIRST), (2, SECOND)])
@pytest.mark.parametrize("limited", ["job", "job/step", "job/step/task"])
def test_a_limit_counts_at_whatever_depth_it_is_set(tmp_path: Path, version: int, kind: str, limited: str) -> None:
    tree, nothing = tmp_path / "tree", UNLIMITED_FIRST if version == 1 else "max"
    for name in (".", "job", "job/step", "job/step/task"):
        group(tree / name, version, 9_000 if name == limited else nothing, 6_000, 1_000)
    line = "4:cpu,memory:/job/step/task\n" if version == 1 else "0::/job/step/task\n"
    memories = found(tmp_path, line, ("/", tree, kind))
    assert min(memory.room_bytes for memory in memories) == 9_000 - 6_000 + 1_000
    assert min(memory.limit_bytes for memory in memories) == 9_000


def test_the_smallest_room_of_all_groups_above_is_among_them(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    group(tree / "a", 2, 10_000, 9_500)
    group(tree / "a/b", 2, 5_000, 1_000)
    memories = found(tmp_path, "0::/a/b\n", ("/", tree, SECOND))
    assert sorted(memory.room_bytes for memory in memories) == [500, 4_000]


def test_other_groups_of_the_tree_do_not_count(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    group(tree / "mine", 2, "max", 10)
    group(tree / "another", 2, 5, 5)
    assert found(tmp_path, "0::/mine\n", ("/", tree, SECOND)) == []


@pytest.mark.parametrize(
    ("groups", "root"),
    [
        ("0::/docker/ab12\n", "/docker/ab12"),  # the tree of the machine, of which the container sees its own part
        ("0::/\n", "/docker/ab12"),  # a name space of its own
        ("0::/../..\n", "/"),  # its group lies above what it sees
        ("0::/\n", "/"),
    ],
)
def test_a_container_finds_its_limit_at_the_root_of_what_it_sees(tmp_path: Path, groups: str, root: str) -> None:
    group(tmp_path / "tree", 2, 7_000, 2_000)
    assert found(tmp_path, groups, (root, tmp_path / "tree", SECOND)) == [GroupMemory(7_000, 5_000)]


def test_a_group_in_a_container_lies_below_the_container_s_own(tmp_path: Path) -> None:
    group(tmp_path / "tree/inner", 2, 3_000, 2_000)
    memories = found(tmp_path, "0::/docker/ab12/inner\n", ("/docker/ab12", tmp_path / "tree", SECOND))
    assert memories == [GroupMemory(3_000, 1_000)]


def test_where_both_versions_are_mounted_the_one_with_the_memory_controller_limits(tmp_path: Path) -> None:
    group(tmp_path / "v1/job", 1, 4_000, 1_000)
    (tmp_path / "v2").mkdir()
    lines = "5:freezer:/other\n4:memory:/job\n0::/\n"
    mounts = (("/", tmp_path / "v1", FIRST), ("/", tmp_path / "v2", SECOND), ("/", tmp_path / "v1", "cgroup c rw,cpu"))
    assert found(tmp_path, lines, *mounts) == [GroupMemory(4_000, 3_000)]


def test_the_second_version_has_a_high_mark_beyond_which_nothing_moves(tmp_path: Path) -> None:
    group(tmp_path / "tree", 2, 9_000, 1_000, high="2000\n")
    assert found(tmp_path, "0::/\n", ("/", tmp_path / "tree", SECOND)) == [GroupMemory(2_000, 1_000)]


def test_more_taken_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    group(tmp_path / "tree", 2, 1_000, 1_500)
    assert found(tmp_path, "0::/\n", ("/", tmp_path / "tree", SECOND)) == [GroupMemory(1_000, 0)]


def test_a_limit_whose_usage_is_not_told_says_nothing(tmp_path: Path) -> None:
    group(tmp_path / "tree", 2, 1_000)
    (tmp_path / "tree/memory.current").unlink()
    assert found(tmp_path, "0::/\n", ("/", tmp_path / "tree", SECOND)) == []


def test_blanks_in_the_path_of_a_mounted_tree_are_read(tmp_path: Path) -> None:
    group(tmp_path / "a tree", 2, 1_000, 500)
    assert found(tmp_path, "0::/\n", ("/", tmp_path / "a tree", SECOND)) == [GroupMemory(1_000, 500)]


@pytest.mark.parametrize(("groups", "mounts"), [("", ""), ("nonsense\n\n::\n", "a b\n - \n"), ("0::/gone\n", "")])
def test_without_groups_or_with_files_that_nobody_understands_nothing_is_limited(
    tmp_path: Path, groups: str, mounts: str
) -> None:
    (tmp_path / "cgroup").write_text(groups)
    (tmp_path / "mountinfo").write_text(mounts)
    assert group_memories(tmp_path / "cgroup", tmp_path / "mountinfo") == []
    assert group_memories(tmp_path / "absent", tmp_path / "absent") == []
