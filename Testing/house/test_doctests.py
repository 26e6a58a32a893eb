"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib

import pytest

from Testing.house.source_tree import Source, module_name, product_sources

PLACES = ("MultiTaskSeg/MultiTaskSegLib/cohort/", "MultiTaskSeg/MultiTaskSegLib/runtime/", "trainer/")
WITH_EXAMPLES = [source for source in product_sources() if source.name.startswith(PLACES) and ">>> " in source.text]


@pytest.mark.parametrize("source", WITH_EXAMPLES, ids=lambda source: source.name)
def test_the_examples_of_a_file_are_true(source: Source):
    failed, tried = doctest.testmod(importlib.import_module(module_name(source.name)))
    assert tried > 0
    assert failed == 0


def test_there_are_examples_to_check():
    assert WITH_EXAMPLES
