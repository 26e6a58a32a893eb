"""What a model file looks like from outside, to notice that it is another one although its name is the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

# The header of a safetensors file: the length of its JSON in eight bytes, then the JSON, which holds the digest of the
# content. No model file has a longer one.
LENGTH_BYTES = 8
LONGEST_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class ModelStamp:
    """Two files with the same stamp have the same content, unless someone means to deceive.

    Attributes:
        size_bytes, changed_ns: of the file; the second since 1970.
        header_digest: SHA-256 of the header. A copy may keep time and size of what it was copied from.
    """

    size_bytes: int
    changed_ns: int
    header_digest: str


def model_stamp(path: str | Path) -> ModelStamp | None:
    """The stamp of a file as it is now; None where it cannot be read, which loading it tells better."""
    path = Path(path)
    try:
        facts = path.stat()
        with path.open("rb") as stream:
            length = stream.read(LENGTH_BYTES)
            header = stream.read(min(int.from_bytes(length, "little"), LONGEST_HEADER_BYTES))
    except OSError:
        return None
    return ModelStamp(facts.st_size, facts.st_mtime_ns, hashlib.sha256(length + header).hexdigest())
