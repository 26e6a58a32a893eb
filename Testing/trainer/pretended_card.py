"""A graphics card that is not there: tensors say that they are on it, and operations that mix devices raise.

Everything is computed on the processor. What a card would refuse is refused: an operation on tensors of both devices, a
generator of the other device, numpy on a tensor of the card. What it allows is allowed: copying between devices, a
single number of the processor beside tensors of the card, and indices of the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

CPU, CARD = torch.device("cpu"), torch.device("cuda:0")
TO = torch._C.TensorBase.to  # type: ignore[attr-defined]
COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)
CARD_SEEDS = 2**62
"""Seeds from here on belong to generators of the card."""
INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten._index_put_impl_.default)


class OnCard(Tensor):
    """A tensor of the card; ``kept`` holds its numbers. For torch's own code it is on the processor, so that gradients
    can be computed; for everybody else it is on the card."""

    kept: Tensor

    @staticmethod
    def __new__(cls, kept: Tensor) -> OnCard:
        """Without numbers of its own."""
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, kept.size(), strides=kept.stride(), storage_offset=kept.storage_offset(), dtype=kept.dtype
        )
        made.kept = kept
        return made  # type: ignore[no-any-return]

    device = property(lambda self: CARD)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    def numpy(self, *, force: bool = False) -> Any:
        """As of any tensor of a card."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    __array__ = numpy  # type: ignore[assignment]

    def cpu(self, *args: Any, **kwargs: Any) -> Tensor:
        """A copy on the processor."""
        return _Moved.apply(self)  # type: ignore[no-any-return, no-untyped-call]

    def tolist(self) -> Any:
        """The numbers."""
        return self.kept.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute with what is kept."""
        return _computed(operation, args, dict(kwargs or {}))


class _Moved(torch.autograd.Function):
    """To the other device; the gradient goes back."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        """A copy."""
        return _on_the_other_device(tensor)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        """A copy."""
        return _on_the_other_device(gradient)


def _on_the_other_device(tensor: Tensor) -> Tensor:
    return tensor.kept.clone() if isinstance(tensor, OnCard) else OnCard(tensor.detach().clone())


class AnyGenerator(torch.Generator):
    """A generator of either device, which draws on the processor; torch hands on nothing of it but its seed, so the
    seed tells the device."""

    def __new__(cls, device: torch.device | str = CPU) -> AnyGenerator:
        """With the seed 0."""
        made = super().__new__(cls, CPU)
        made.device = CARD if _is_card(device) else CPU
        return made.manual_seed(0)

    device = CPU

    def manual_seed(self, seed: int) -> AnyGenerator:
        """Start again."""
        super().manual_seed(seed % CARD_SEEDS + (CARD_SEEDS if self.device == CARD else 0))
        return self


class _Watching(TorchDispatchMode):
    """Sees also operations without a tensor of the card: those that make one, or bring one there."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See `_computed`."""
        return _computed(operation, args, dict(kwargs or {}))


@contextmanager
def pretended_card() -> Iterator[None]:
    """While it lasts torch has a card, and it is the only one."""
    save, load = torch.save, torch.load

    def saved(content: Any, *args: Any, **kwargs: Any) -> None:
        """Files hold plain tensors."""
        save(_mapped(_kept, content), *args, **kwargs)

    def loaded(path: Any, *, map_location: Any = None, **kwargs: Any) -> Any:
        """Straight to the device."""
        content = load(path, map_location=CPU, **kwargs)
        return _mapped(OnCard, content) if _is_card(map_location) else content

    with (
        mock.patch.object(torch.cuda, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "_lazy_init"),
        mock.patch.object(torch.cuda, "get_device_capability", return_value=(8, 0)),
        # Where torch was built for cards, the optimizer asks the driver for a stream; the processor's build has none.
        mock.patch.object(torch.accelerator, "current_accelerator", return_value=None),
        # A parameter that only got the numbers of the card would still be a parameter of the processor.
        mock.patch.object(torch.__future__, "get_overwrite_module_params_on_conversion", return_value=True),
        # Tensors of the inference mode cannot hold others.
        mock.patch.object(torch.inference_mode, "__enter__", torch.no_grad.__enter__),
        mock.patch.object(torch.inference_mode, "__exit__", torch.no_grad.__exit__),
        mock.patch.object(Tensor, "to", moved),
        mock.patch.object(torch, "save", saved),
        mock.patch.object(torch, "load", loaded),
        mock.patch.object(torch, "Generator", AnyGenerator),
        _Watching(),
    ):
        yield


def _is_card(device: Any) -> bool:
    return device is not None and torch.device(device).type == CARD.type


def _computed(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors: list[Tensor] = []
    _mapped(tensors.append, (args, kwargs))
    on_card = any(isinstance(tensor, OnCard) for tensor in tensors)
    if operation not in COPIES:
        _require_one_device(operation, tensors, kwargs)
    if operation is torch.ops.aten.copy_.default:
        _kept(args[0]).copy_(_kept(args[1]))
        return args[0]
    if kwargs.get("device") is not None:
        # Of what is on the card torch itself thinks that it is on the processor.
        on_card = on_card or _is_card(kwargs["device"])
        kwargs["device"] = CPU
    if not on_card:
        return operation(*args, **kwargs)
    known = {id(_kept(tensor)): tensor for tensor in tensors}

    def answer(tensor: Tensor) -> Tensor:
        """What was changed in place is itself."""
        return known[id(tensor)] if id(tensor) in known else OnCard(tensor)

    return _mapped(answer, operation(*_mapped(_kept, args), **_mapped(_kept, kwargs)))


def _mapped(change: Callable[[Tensor], Any], value: Any) -> Any:
    """Plain containers with something else in the place of every tensor; torch's own way takes ten times as long."""
    if isinstance(value, Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)([_mapped(change, item) for item in value])
    if isinstance(value, dict):
        return type(value)((key, _mapped(change, item)) for key, item in value.items())
    return value


def _kept(tensor: Tensor) -> Tensor:
    return tensor.kept if isinstance(tensor, OnCard) else tensor


def _require_one_device(operation: Any, tensors: list[Tensor], kwargs: Mapping[str, Any]) -> None:
    on_card = any(isinstance(tensor, OnCard) for tensor in tensors)
    on_processor = [tensor for tensor in tensors if not isinstance(tensor, OnCard) and tensor.dim()]
    allowed = operation in INDEXING and isinstance(tensors[0], OnCard)
    if on_card and on_processor and not allowed:
        shapes = [(tuple(tensor.shape), str(tensor.device)) for tensor in tensors]
        raise RuntimeError(f"Expected all tensors to be on the same device: {operation} of {shapes}")
    generator = kwargs.get("generator")
    if generator is not None:
        expected = CARD if on_card or _is_card(kwargs.get("device")) else CPU
        if (generator.initial_seed() >= CARD_SEEDS) != (expected == CARD):
            raise RuntimeError(f"Expected a '{expected}' device type for generator: {operation}")


def moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`Tensor.to`: torch's own would ask a driver for the number of the card."""
    options = dict(kwargs)
    for value in args:
        if isinstance(value, Tensor):
            options |= {"device": value.device, "dtype": value.dtype}
        elif isinstance(value, torch.dtype):
            options["dtype"] = value
        elif isinstance(value, (torch.device, str)):
            options["device"] = value
    device = options.pop("device", None)
    if device is not None and _is_card(device) != isinstance(tensor, OnCard):
        tensor = _Moved.apply(tensor)
    return TO(tensor, **options) if options else tensor
