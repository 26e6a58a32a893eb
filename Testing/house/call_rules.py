"""Calls and imports that have no place in this project."""

from __future__ import annotations

import ast
import re

from Testing.house.source_tree import Source

EXECUTES_TEXT = ("eval", "exec", "compile", "__import__")
UNSAFE_MODULES = ("pickle", "cPickle", "dill", "joblib", "shelve", "marshal")
MAY_PRINT = re.compile(r"(^|/)(cli|__main__|demo|worker)\.py$|^trainer/cli/")


def forbidden_calls(source: Source) -> list[str]:
    """What a reader of this project never has to look for: code from data, shells, swallowed errors, stray output."""
    found = []
    for node in ast.walk(source.tree):
        what = _forbidden(node, source.name)
        if what:
            found.append(f"{source.name}:{getattr(node, 'lineno', 0)} {what}")
    return found


def _forbidden(node: ast.AST, name: str) -> str | None:
    if isinstance(node, ast.ExceptHandler) and node.type is None:
        return "bare except"
    if isinstance(node, ast.Import):
        return _unsafe_module([alias.name for alias in node.names])
    if isinstance(node, ast.ImportFrom):
        return _unsafe_module([node.module or ""])
    if isinstance(node, ast.Call):
        return _forbidden_call(node, name)
    if isinstance(node, (ast.Assign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return "edits sys.path" if any(ast.unparse(target).startswith("sys.path") for target in targets) else None
    return None


def _unsafe_module(names: list[str]) -> str | None:
    unsafe = [name for name in names if name.split(".")[0] in UNSAFE_MODULES]
    return f"imports {unsafe[0]}" if unsafe else None


def _forbidden_call(node: ast.Call, name: str) -> str | None:
    callee = ast.unparse(node.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if callee in EXECUTES_TEXT or callee.endswith(("os.system", "os.popen")):
        return f"{callee}()"
    if callee.split(".")[-1] in ("extractall", "unpack_archive"):
        return "unpacks an archive"
    if keywords.get("shell", "False") != "False":
        return "runs a shell"
    if callee.startswith(("sys.path.", "site.addsitedir")):
        return "edits sys.path"
    if callee == "torch.load" and keywords.get("weights_only") != "True":
        return "torch.load without weights_only=True"
    if keywords.get("allow_pickle", "False") != "False":
        return "allows pickles"
    if callee in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
        return "yaml.load instead of yaml.safe_load"
    return "print outside the command line" if callee == "print" and not MAY_PRINT.search(name) else None
