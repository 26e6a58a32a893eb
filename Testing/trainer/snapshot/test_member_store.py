"""Members of a training on disk: as they were written, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from trainer.snapshot.member_store import Member, MemberStore, members_of

ARCHITECTURE = Architecture((2, 3), ((1, 2, 2),), ((1, 3, 3),) * 2, 2)


def network(seed: int) -> SegmentationNetwork:
    torch.manual_seed(seed)
    return SegmentationNetwork(ARCHITECTURE)


@pytest.fixture
def store(tmp_path: Path) -> MemberStore:
    return MemberStore(tmp_path / "m.run" / "snapshots")


def test_weights_come_back_as_a_model_file_has_them(store: MemberStore) -> None:
    own = network(1)
    member = store.keep(1, 20, own)
    found = store.weights(member)
    assert (member.number, member.step) == (1, 20)
    assert found.keys() == own.state_dict().keys()
    assert all(torch.equal(found[name], value.to(torch.float16)) for name, value in own.state_dict().items())
    assert [path.name for path in store.folder.iterdir()] == ["cycle1.safetensors"]


def test_a_digest_tells_weights_and_step(store: MemberStore) -> None:
    first = store.keep(1, 20, network(1))
    assert store.keep(1, 20, network(1)) == first
    assert store.keep(1, 20, network(2)) != first
    assert store.keep(1, 21, network(1)) != first


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def replace_by_another(path: Path) -> None:
    MemberStore(path.parent).keep(1, 20, network(3))


@pytest.mark.parametrize("harm", [remove, cut, flip, replace_by_another])
def test_a_member_that_is_lost_is_refused_and_nothing_is_changed(
    store: MemberStore, harm: Callable[[Path], None]
) -> None:
    member = store.keep(1, 20, network(1))
    store.keep(2, 40, network(2))
    harm(store.folder / "cycle1.safetensors")
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    with pytest.raises(ModelError, match=r"snapshot 1 of the training is lost .*cycle1\.safetensors.*--resume"):
        store.take_up([member])
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before


def test_what_was_kept_later_is_forgotten_and_other_files_are_left_alone(store: MemberStore) -> None:
    members = [store.keep(number, 20 * number, network(number)) for number in (1, 2, 3)]
    others = ["cycle2.snapshot1.mts.safetensors", "m.snapshot1.mts.safetensors"]
    for name in others:
        (store.folder / name).write_bytes(b"a model")
    store.take_up(members[:1])
    assert sorted(path.name for path in store.folder.iterdir()) == ["cycle1.safetensors", *others]


def test_a_run_without_members_needs_no_folder(store: MemberStore) -> None:
    store.take_up([])
    assert not store.folder.exists()


def test_a_weight_that_no_model_file_could_hold_is_refused_at_once(store: MemberStore) -> None:
    own = network(1)
    with torch.no_grad():
        own.head.weight.fill_(1e6)
    with pytest.raises(ModelError, match=r"head\.weight.*infinite.*Lower learning_rate"):
        store.keep(1, 20, own)
    assert not store.folder.exists()


def test_a_state_from_before_there_were_snapshots_has_no_members() -> None:
    assert members_of({}) == []
    assert members_of({"members": [[1, 20, "a"]]}) == [Member(1, 20, "a")] != [replace(Member(1, 20, "a"), step=21)]
