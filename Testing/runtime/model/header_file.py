"""Files that begin as model files do: a header with a manifest, and as many bytes as it says."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

TENSOR_BYTES = 64


def task_entry(name: str = "Dataset001_Balls", **more: Any) -> dict[str, Any]:
    """One task of a manifest, as far as a list of models looks at it."""
    label = {"value": 1, "name": "ball", "display_name": "round ball", "colour": [1, 2, 3], "terminology": "a~b"}
    plain = {"modality": "T1", "anatomy": "hand", "licence": "CC BY 4.0", "labels": [label]}
    return {"name": name, **plain, "profile": {"grid": "spacing", "spacing_zyx_mm": [2.0, 1.0, 1.0]}, **more}


def manifest(*tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A manifest with these tasks."""
    return {"format_version": 1, "name": "made", "tasks": list(tasks) or [task_entry()], "ood": {}, **more}


def write_header_file(path: Path, described: Any, tensor_bytes: int = TENSOR_BYTES) -> Path:
    """Write a file that says that it holds one tensor; ``tensor_bytes`` of it are there."""
    tensor = {"dtype": "U8", "shape": [TENSOR_BYTES], "data_offsets": [0, TENSOR_BYTES]}
    metadata = {"manifest": json.dumps(described), "digest": "0" * 64}
    header = json.dumps({"__metadata__": metadata, "network.x": tensor}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(tensor_bytes))
    return path
