"""The objects that a checkpoint describes, built by an interpreter of the few instructions that it needs.

Python's own reader of such streams calls whatever function a file names. This one knows a fixed list of names, none of
which it calls: each stands for plain data (`Named`). All other names and instructions are refused.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError

DICTIONARY = "collections OrderedDict"
TENSOR, PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
STORAGES = {
    "torch FloatStorage": "float32",
    "torch HalfStorage": "float16",
    "torch BFloat16Storage": "bfloat16",
    "torch DoubleStorage": "float64",
    "torch LongStorage": "int64",
    "torch IntStorage": "int32",
    "torch BoolStorage": "bool",
    "torch ByteStorage": "uint8",
}
# What nnU-Net logs beside the weights; kept as names, not needed.
INERT = (
    "numpy dtype",
    "numpy ndarray",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
    "_codecs encode",
    "torch device",
    "torch Size",
    "collections defaultdict",
    "__builtin__ set",
    "builtins set",
    "pathlib PosixPath",
    "pathlib WindowsPath",
    "pathlib PurePosixPath",
)
KNOWN = frozenset((DICTIONARY, TENSOR, PARAMETER, *STORAGES, *INERT))
# nnU-Net's own have some ten thousand; what a trainer logs in thousands of epochs adds a million or two.
MAX_INSTRUCTIONS = 5_000_000
MAX_BITS = 64
# Names of classes and old-style numbers: Python before 3.11 takes for ever to read a number of a million digits.
MAX_LINE_BYTES = 1024
SHOWN_LETTERS = 100


@dataclass
class Named:
    """A name of the fixed list, and what the file wanted to be passed to it."""

    name: str
    arguments: tuple[Any, ...] | None = None
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredElements:
    """Where the elements of a tensor lie in the archive.

    Attributes:
        dtype: of the elements.
        key: name of the storage.
        count: its number of elements.
    """

    dtype: str
    key: str
    count: int


def read_objects(description: bytes, name: str) -> Any:
    """The object that a description describes: dictionaries, lists, tuples, numbers, text and `Named` data.

    Args:
        description: the instructions.
        name: how errors call the file.

    Raises:
        ModelError: they ask for anything else, or are damaged.
    """
    machine = _Machine()
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(_ShortLines(description))):
            if count > MAX_INSTRUCTIONS:
                raise _Refused("too many instructions")
            if instruction.name == "STOP":
                return machine.stack.pop()
            machine.follow(instruction.name, argument)
    except _Refused as refusal:
        raise ModelError(
            f"the checkpoint is refused: it asks for {refusal}",
            file=name,
            remedy="Only what nnU-Net itself saves is read; do not open such a file with other programs either",
        ) from refusal
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError, OverflowError) as error:
        raise ModelError("the description in the checkpoint is damaged", file=name) from error
    raise ModelError("the description in the checkpoint is cut off", file=name)


class _Refused(Exception):
    """The file asks for something that is not known to be harmless."""


class _ShortLines(io.BytesIO):
    """Bytes whose lines are no longer than any that a checkpoint needs."""

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line, however long it may be asked for."""
        line = super().readline(MAX_LINE_BYTES)
        if len(line) == MAX_LINE_BYTES:
            raise _Refused(f"a line of more than {MAX_LINE_BYTES} bytes")
        return line


class _Machine:
    """A stack and a memory, as the instructions expect them."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}

    def follow(self, instruction: str, argument: Any) -> None:
        """Carry out one instruction.

        Raises:
            _Refused: it is none of the known ones.
        """
        if instruction in VALUES:
            if isinstance(argument, int) and argument.bit_length() > MAX_BITS:
                raise _Refused("a number of more than 64 bits")
            self.stack.append(argument)
        elif instruction in CONSTANTS:
            self.stack.append(CONSTANTS[instruction]())
        elif instruction in STEPS:
            STEPS[instruction](self, argument)
        elif instruction not in IGNORED:
            raise _Refused(f"the instruction {instruction}")

    def until_mark(self) -> list[Any]:
        """Take what lies above the last mark."""
        where = self.marks.pop()
        taken = self.stack[where:]
        del self.stack[where:]
        return taken

    def mark(self, argument: Any) -> None:
        """A sequence begins here."""
        self.marks.append(len(self.stack))

    def put(self, argument: Any) -> None:
        """Remember what lies on top under a number."""
        self.memory[argument] = self.stack[-1]

    def memoize(self, argument: Any) -> None:
        """Remember what lies on top under the next number."""
        self.memory[len(self.memory)] = self.stack[-1]

    def get(self, argument: Any) -> None:
        """Put on top what was remembered."""
        self.stack.append(self.memory[argument])

    def name(self, argument: Any) -> None:
        """Put a name of the list on top."""
        self.stack.append(_named(argument))

    def name_on_stack(self, argument: Any) -> None:
        """Put on top the name whose parts lie there."""
        attribute, module = self.stack.pop(), self.stack.pop()
        # Anything else may take for ever to be written as text.
        if not (isinstance(attribute, str) and isinstance(module, str)):
            raise _Refused("a name that is no text")
        self.stack.append(_named(f"{module} {attribute}"))

    def apply(self, argument: Any) -> None:
        """What would be a call becomes a name with its arguments."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not (isinstance(function, Named) and function.arguments is None and isinstance(arguments, tuple)):
            raise _Refused("a call of something that has no name")
        self.stack.append({} if function.name == DICTIONARY else Named(function.name, arguments))

    def build(self, argument: Any) -> None:
        """Attributes are dropped."""
        # Attributes of dictionaries (versions of layers) and of what is not needed.
        self.stack.pop()
        if not isinstance(self.stack[-1], Named | dict):
            raise _Refused("attributes of a plain value")

    def stored(self, argument: Any) -> None:
        """Put on top where elements of a tensor lie."""
        kind, storage, key, _, count = self.stack.pop()
        if kind != "storage" or not isinstance(storage, Named):
            raise _Refused("elements of a tensor without their kind")
        if storage.name not in STORAGES:
            raise _Refused(f"elements of the kind {storage.name!r}")
        if not (isinstance(key, str) and isinstance(count, int)):
            raise ValueError(key)
        self.stack.append(StoredElements(STORAGES[storage.name], key, count))

    def tuple_of(self, count: int | None) -> None:
        """Make a tuple of the last entries, of those since the mark if no number is given."""
        taken = self.until_mark() if count is None else [self.stack.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(taken))

    def append(self, argument: Any) -> None:
        """Add the last entry to the list below."""
        entry = self.stack.pop()
        _list(self.stack[-1]).append(entry)

    def extend(self, argument: Any) -> None:
        """Add the entries since the mark to the list below."""
        entries = self.until_mark()
        _list(self.stack[-1]).extend(entries)

    def set_item(self, argument: Any) -> None:
        """Put the last key and value into the dictionary below."""
        value, key = self.stack.pop(), self.stack.pop()
        _items(self.stack[-1])[_key(key)] = value

    def set_items(self, argument: Any) -> None:
        """Put the keys and values since the mark into the dictionary below."""
        entries = self.until_mark()
        items = _items(self.stack[-1])
        for key, value in zip(entries[::2], entries[1::2], strict=True):
            items[_key(key)] = value


def _named(name: str) -> Named:
    if name not in KNOWN:
        raise _Refused(f"the name {name[:SHOWN_LETTERS]!r}")
    return Named(name)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _Refused("entries of something that is no list")
    return value


def _items(value: Any) -> dict[Any, Any]:
    if isinstance(value, Named):
        return value.items
    if not isinstance(value, dict):
        raise _Refused("items of something that is no dictionary")
    return value


def _key(key: Any) -> Any:
    # Tuples may hold anything and take for ever to hash.
    if not isinstance(key, str | int | float | bool | None):
        raise _Refused("a key that is neither text nor a number")
    return key


VALUES = frozenset((
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING",
    "SHORT_BINSTRING", "STRING",
))  # fmt: skip
IGNORED = frozenset(("PROTO", "FRAME"))
CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "PUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GET": _Machine.get,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.apply,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.stored,
    "TUPLE": lambda machine, _: machine.tuple_of(None),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
}
