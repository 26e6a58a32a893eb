"""Small files, small functions, every public name explained, every parameter typed."""

from __future__ import annotations

import pytest

from Testing.house.size_rules import MAX_FILE_LINES, MAX_FUNCTION_LINES, too_large, unannotated, undocumented
from Testing.house.source_tree import Source, product_sources


def test_files_and_functions_are_small_and_named_after_what_they_hold():
    found = [wrong for source in product_sources() for wrong in too_large(source)]
    assert found == [], "\n".join(found)


def test_every_public_name_has_a_docstring():
    found = [wrong for source in product_sources() for wrong in undocumented(source)]
    assert found == [], "\n".join(found)


def test_every_parameter_is_annotated():
    found = [wrong for source in product_sources() for wrong in unannotated(source)]
    assert found == [], "\n".join(found)


def test_a_file_that_is_too_long_would_be_noticed():
    assert too_large(Source("trainer/a.py", "x = 1\n" * (MAX_FILE_LINES - 1))) == []
    assert too_large(Source("trainer/a.py", "x = 1\n" * MAX_FILE_LINES))


def test_a_function_that_is_too_long_would_be_noticed():
    longest = "def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES - 1)
    assert too_large(Source("trainer/a.py", longest)) == []
    assert too_large(Source("trainer/a.py", f"{longest}    x = 1\n"))


@pytest.mark.parametrize("name", ["trainer/utils.py", "trainer/helpers.py", "trainer/common/a.py", "misc.py"])
def test_a_file_named_after_nothing_would_be_noticed(name: str):
    assert too_large(Source(name, ""))


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        '"""A."""\ndef f(): ...',
        '"""A."""\nclass C: ...',
        '"""A."""\nclass C:\n    """C."""\n    def f(self): ...',
    ],
)
def test_a_missing_docstring_would_be_noticed(text: str):
    assert undocumented(Source("trainer/a.py", text))


def test_private_names_and_empty_files_need_no_docstring():
    assert undocumented(Source("trainer/a.py", '"""A."""\ndef _f(): ...')) == []
    assert undocumented(Source("trainer/a.py", "")) == []


@pytest.mark.parametrize("signature", ["a", "*, a", "*a", "**a", "a, /", "self, a"])
def test_a_missing_annotation_would_be_noticed(signature: str):
    assert unannotated(Source("trainer/a.py", f"def f({signature}): ..."))
    typed = signature.replace("a", "a: int").replace("**a: int", "**a: int")
    assert unannotated(Source("trainer/a.py", f"def f({typed}): ...")) == []
