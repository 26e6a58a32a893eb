"""No code from data, no shell, no swallowed error, no stray output."""

from __future__ import annotations

import pytest

from Testing.house.call_rules import forbidden_calls
from Testing.house.source_tree import Source, product_sources, sources


def test_no_product_file_makes_a_forbidden_call():
    found = [wrong for source in product_sources() for wrong in forbidden_calls(source)]
    assert found == [], "\n".join(found)


def test_no_test_swallows_errors_or_edits_the_import_path():
    tests = [source for source in sources() if source.name.startswith("Testing/")]
    found = [wrong for source in tests for wrong in forbidden_calls(source)]
    assert [wrong for wrong in found if wrong.endswith(("bare except", "edits sys.path", "runs a shell"))] == []


@pytest.mark.parametrize(
    "statement",
    [
        "eval('1')",
        "exec('x = 1')",
        "import pickle",
        "from pickle import loads",
        "import joblib.pool",
        "import os\nos.system('ls')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess\nflag = True\nsubprocess.run('ls', shell=flag)",
        "try:\n    pass\nexcept:\n    pass",
        "print('hello')",
        "import sys\nsys.path.append('.')",
        "import sys\nsys.path[0:0] = ['.']",
        "import sys\nsys.path += ['.']",
        "archive.extractall('.')",
        "import shutil\nshutil.unpack_archive('a.zip')",
        "import torch\ntorch.load('a.pt')",
        "import torch\ntorch.load('a.pt', weights_only=False)",
        "import numpy\nnumpy.load('a.npy', allow_pickle=True)",
        "import yaml\nyaml.load(text)",
    ],
)
def test_a_forbidden_call_would_be_noticed(statement: str):
    assert forbidden_calls(Source("trainer/bad.py", statement))


@pytest.mark.parametrize(
    "statement",
    [
        "import torch\ntorch.load('a.pt', weights_only=True)",
        "import yaml\nyaml.safe_load(text)",
        "network.eval()",
        "pattern.compile('a')",
        "import subprocess\nsubprocess.run(['ls'], shell=False)",
        "try:\n    pass\nexcept OSError:\n    pass",
    ],
)
def test_an_innocent_call_is_not_mistaken_for_one(statement: str):
    assert forbidden_calls(Source("trainer/good.py", statement)) == []


def test_the_command_line_may_print():
    assert forbidden_calls(Source("MultiTaskSeg/MultiTaskSegLib/runtime/cli.py", "print('done')")) == []
