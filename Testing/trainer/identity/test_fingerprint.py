"""A fingerprint is that of the values alone, and of weights that of what they compute with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from Testing.runtime.tiny_model import tiny_network
from trainer.identity.fingerprint import fingerprint
from trainer.identity.weights_digest import weights_digest


def test_the_order_of_keys_does_not_count_and_that_of_a_list_does() -> None:
    assert fingerprint({"a": 1, "b": {"c": [1, 2], "d": None}}) == fingerprint({"b": {"d": None, "c": (1, 2)}, "a": 1})
    assert fingerprint(["a", "b"]) != fingerprint(["b", "a"])


@pytest.mark.parametrize("one, other", [(1, 1.5), (1, "1"), (None, 0), ([], {}), (["a", "b"], ["ab"]), ("ä", "a")])
def test_different_values_have_different_fingerprints(one: Any, other: Any) -> None:
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("value", [Path("x"), float("nan"), {1, 2}, {"a": b"x"}])
def test_what_has_no_one_text_has_no_fingerprint(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        fingerprint(value)


def test_a_digest_is_that_of_names_types_shapes_and_values() -> None:
    weights = {"a": torch.arange(6.0), "b": torch.ones(2)}
    plain = weights_digest(weights)
    assert weights_digest(dict(reversed(weights.items()))) == plain
    others = [
        weights | {"b": torch.ones(3)},
        weights | {"a": torch.arange(6.0).reshape(2, 3)},
        weights | {"b": torch.ones(2, dtype=torch.float16)},
        {"a": weights["a"], "c": weights["b"]},
        weights | {"b": torch.tensor([1.0, 1.0 + 2**-23])},
    ]
    assert len({plain, *map(weights_digest, others)}) == 6
    assert weights_digest(tiny_network(1).state_dict()) != weights_digest(tiny_network(2).state_dict())
