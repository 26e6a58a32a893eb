"""How much memory tensors take while code runs, found out without allocating any."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveTensors(TorchDispatchMode):
    """Within ``with LiveTensors() as trace``, counts the bytes of all tensors that operations make and drop.

    Tensors on the ``meta`` device have sizes but no memory, so that the need of a network for any image follows from
    its own code in milliseconds.

    Attributes:
        live_bytes: of the tensors alive now.
        peak_bytes: the most that were alive at once.
        peak_with_copies_bytes: the same if each convolution had copies of its input and its output, as libraries make
            that prefer another order of the axes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live_bytes = self.peak_bytes = self.peak_with_copies_bytes = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and take note of its results."""
        result = operation(*args, **(kwargs or {}))
        results = [value for value in tree_leaves(result) if isinstance(value, torch.Tensor)]
        for tensor in results:
            self._hold(tensor)
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        copies = 0
        if "convolution" in str(operation) or "conv3d" in str(operation):
            copies = sum(tensor.nbytes for tensor in (args[0], *results))
        self.peak_with_copies_bytes = max(self.peak_with_copies_bytes, self.live_bytes + copies)
        return result

    def _hold(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        identity, size = storage._cdata, storage.nbytes()
        if identity in self._known:
            return  # a view, or changed in place
        self._known.add(identity)
        self.live_bytes += size

        def release() -> None:
            """The last tensor on this storage is gone."""
            self._known.discard(identity)
            self.live_bytes -= size

        weakref.finalize(storage, release).atexit = False


def traced(action: Callable[[], object]) -> LiveTensors:
    """What ``action`` took, in inference mode."""
    with torch.inference_mode(), LiveTensors() as trace:
        action()
    return trace
