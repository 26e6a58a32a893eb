"""How much memory tensors take while code runs: the most bytes that were alive at the same time."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

# Bytes that a call takes only while it runs, given its function, its arguments and its result.
Scratch = Callable[[Callable[..., Any], tuple[Any, ...], Tensor], int]


def _nothing(function: Callable[..., Any], arguments: tuple[Any, ...], result: Tensor) -> int:
    return 0


class TensorLedger(TorchFunctionMode):
    """Within ``with TensorLedger() as ledger``, counts the bytes of all tensors that calls of torch make and drop.

    Args:
        scratch: what calls take beside their results; nothing by default.

    Attributes:
        live_bytes: of the tensors that are alive now and were made within the block.
        peak_bytes: the most that were alive at once, with what the call of that moment took.
    """

    def __init__(self, scratch: Scratch = _nothing) -> None:
        super().__init__()
        self.live_bytes = self.peak_bytes = 0
        self._scratch = scratch
        self._known: set[int] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call and take note of what comes out."""
        result = func(*args, **(kwargs or {}))
        taken = 0
        for value in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(value, Tensor):
                self._hold(value)
                taken = max(taken, self._scratch(func, args, value))
        self.peak_bytes = max(self.peak_bytes, self.live_bytes + taken)
        return result

    def restart(self) -> None:
        """Forget the peak so far, not what is alive."""
        self.peak_bytes = self.live_bytes

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        identity, size = id(storage), storage.nbytes()
        if identity in self._known:
            return  # a view, or changed in place
        self._known.add(identity)
        self.live_bytes += size

        def release() -> None:
            """The last tensor on this storage is gone."""
            self._known.discard(identity)
            self.live_bytes -= size

        weakref.finalize(storage, release).atexit = False
