"""Which back end is fastest here: measured at first use, remembered for the user, verified against plain torch."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ResourceError, UsageError
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.machine.host_memory import available_bytes, is_address_space_limited
from MultiTaskSegLib.runtime.machine.memory_allocator import in_own_heap, release_freed_memory
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory
from MultiTaskSegLib.runtime.machine.processor import processor_name
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.network.compiled_backend import openvino_backend
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream
from MultiTaskSegLib.runtime.network.precision import FLOAT32, Lower, hardware_precisions
from MultiTaskSegLib.runtime.network.prospect import PLAIN, TRIAL_OUTPUTS, Prospect, trial_grid
from MultiTaskSegLib.runtime.network.quiet_openvino import OPENVINO, is_openvino_usable
from MultiTaskSegLib.runtime.network.reduced_backend import ReducedBackend

AUTO, TORCH = "auto", "torch"
NAMES = (AUTO, TORCH, OPENVINO)
# Overrides the choice; takes one of `NAMES`.
VARIABLE = "MULTITASKSEG_BACKEND"
LEAST_AGREEMENT = 0.9999
LARGEST_ERROR = 1e-3
# bfloat16 has 8 bits: a share of .004 in each of some 20 layers.
LARGEST_REDUCED_ERROR = 0.1
TRIALS = 2
# Freed memory that cannot be used again, as a factor; and of what is free,
# what compiling and a trial may take: systems end processes that take too much without a word.
HEAP_FACTOR, USABLE_SHARE = 1.1, 0.9

Candidates = Mapping[str, Callable[[], Backend]]


def choose_backend(
    network: SegmentationNetwork,
    digest: str,
    device: torch.device,
    name: str = AUTO,
    memory: Path | None = None,
    permitted: Collection[Lower] = (),
) -> Backend:
    """The back end to use.

    Args:
        network: of the model.
        digest: of the model.
        device: where to compute.
        name: one of `NAMES`; ``auto`` looks at the environment variable MULTITASKSEG_BACKEND, then measures.
        memory: file of remembered choices; by default one in the user's cache folder.
        permitted: lower precisions that the model has been measured in. They are tried where this computer has them,
            and only where nothing else is asked for by name.

    Raises:
        UsageError: there is no such back end.
        ResourceError: the one asked for is not installed, does not work, or does not agree with plain torch.
    """
    name = asked_for(name)
    if name not in NAMES:
        raise UsageError(f"there is no back end {name!r}", remedy=f"Use one of {', '.join(NAMES)}")
    plain = TorchBackend(network, device)
    candidates = _candidates(plain)
    if name != AUTO:
        return plain if name == TORCH else _wanted(name, plain, candidates, network)
    candidates = {**candidates, **reduced_candidates(plain, permitted)}
    if not candidates:
        return plain
    memory = memory or cache_folder() / "backends.json"
    key, known = _key(digest, device), _remembered(memory)
    best = known.get(key, "")
    if best == TORCH:
        return plain
    free_bytes = available_bytes()
    if free_bytes is not None and free_bytes < room_bytes(network.architecture, _prospect(candidates, best)):
        return plain  # nor is anything tried or remembered
    if best in candidates:
        return _built(candidates[best]) or plain
    try:
        # Which card is the current one is a matter of each thread.
        trial = partial(_fastest, plain, candidates, network)
        fastest = in_own_heap(trial) if device.type == "cpu" else trial()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return plain  # and the trial is made when there is more room
    release_freed_memory()
    _remember(memory, {**known, key: fastest.name})
    return fastest


def prospect_of(
    plain: TorchBackend,
    digest: str,
    name: str = AUTO,
    memory: Path | None = None,
    permitted: Collection[Lower] = (),
) -> Prospect:
    """What `choose_backend` may come to, and what it does for it; nothing is built or tried.

    Args:
        plain: plain torch with the weights of the network, on the device.
        digest, name, memory, permitted: as for `choose_backend`.
    """
    name = asked_for(name)
    offered = list(_candidates(plain))
    if name != AUTO:
        return Prospect(is_compiled=True, builds=1, is_tried=True) if name in offered else PLAIN
    offered += reduced_candidates(plain, permitted)
    best = _remembered(memory or cache_folder() / "backends.json").get(_key(digest, plain.device), "")
    return PLAIN if best == TORCH else _prospect(offered, best)


def room_bytes(architecture: Architecture, prospect: Prospect) -> int:
    """Free memory below which nothing is compiled or tried."""
    passing = max(prospect.building_bytes(architecture), prospect.trying_bytes(architecture))
    return int((prospect.held_bytes(architecture) + HEAP_FACTOR * passing) / USABLE_SHARE)


def _prospect(offered: Collection[str], best: str) -> Prospect:
    """Of these candidates, where one of them is remembered as the best, or none."""
    to_build = [best] if best in offered else list(offered)
    builds = sum(name.startswith(OPENVINO) for name in to_build)
    return Prospect(is_compiled=builds > 0, builds=builds, is_tried=bool(offered) and best not in offered)


def asked_for(name: str) -> str:
    """What the user wants: ``name`` itself, or for ``auto`` what the environment says."""
    return (os.environ.get(VARIABLE) or AUTO) if name == AUTO else name


def cache_folder() -> Path:
    """Where this user's programs keep what they can find out again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home()) / "multitaskseg"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "multitaskseg"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "multitaskseg"


def _candidates(plain: TorchBackend) -> Candidates:
    return {OPENVINO: lambda: openvino_backend(plain)} if _compiles(plain.device) else {}


def _compiles(device: torch.device) -> bool:
    """Whether OpenVINO may be used. Where addresses are counted it may not: it reserves more of them than it uses of
    memory, and where it gets none it fails in words that tell nothing, or ends the process."""
    return device.type == "cpu" and is_openvino_usable() and not is_address_space_limited()


def reduced_candidates(plain: TorchBackend, precisions: Collection[Lower]) -> Candidates:
    """Back ends in lower precisions, by name: of these precisions those that the device has.

    Args:
        plain: whose weights to use, and what takes over from them.
        precisions: which.
    """
    candidates: dict[str, Callable[[], Backend]] = {}
    for precision in hardware_precisions(plain.device):
        if precision in precisions:
            candidates[f"{TORCH}-{precision}"] = partial(ReducedBackend, plain, precision)
            if _compiles(plain.device):
                candidates[f"{OPENVINO}-{precision}"] = partial(openvino_backend, plain, precision)
    return candidates


def _wanted(name: str, plain: TorchBackend, candidates: Candidates, network: SegmentationNetwork) -> Backend:
    if name not in candidates and is_address_space_limited():
        raise ResourceError(
            f"the back end {name!r} reserves more than a limit of the address space allows (ulimit -v)",
            remedy=f"Use {TORCH}, or limit memory by a control group",
        )
    if name not in candidates:
        raise ResourceError(f"the back end {name!r} is not available here", remedy=f"Install it or use {TORCH}")
    backend = _built(candidates[name])
    tried = None if backend is None else _tried(backend, network)
    if backend is None or tried is None:
        raise ResourceError(f"the back end {name!r} does not work here", remedy=f"Install it again or use {TORCH}")
    if not agrees(tried[1], _trial(plain, network)[1]):
        raise ResourceError(f"the back end {name!r} does not agree with plain torch here", remedy=f"Use {TORCH}")
    return backend


def _fastest(plain: TorchBackend, candidates: Candidates, network: SegmentationNetwork) -> Backend:
    least_s, expected = _trial(plain, network)
    best: Backend = plain
    for make in candidates.values():
        backend = _built(make)
        tried = None if backend is None else _tried(backend, network)
        if backend is not None and tried is not None and tried[0] < least_s and _is_right(backend, tried[1], expected):
            best, least_s = backend, tried[0]
    return best


def _built(make: Callable[[], Backend]) -> Backend | None:
    """The back end, or None where an optional package is broken: plain torch does without it."""
    with _broken_is_absent():
        return make()
    return None


def _tried(backend: Backend, network: SegmentationNetwork) -> tuple[float, Tensor] | None:
    """`_trial`; None where the back end could be built, but does not compute."""
    with _broken_is_absent():
        return _trial(backend, network)
    return None


@contextmanager
def _broken_is_absent() -> Iterator[None]:
    """Whatever an optional package raises ends the block; a lack of memory is no fault of its own."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise


def agrees(found: Tensor, expected: Tensor) -> bool:
    """Whether logits ``(classes, Z, Y, X)`` give the same labels and differ by rounding only."""
    same = float((found.argmax(dim=0) == expected.argmax(dim=0)).float().mean())
    error = float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30))
    return same >= LEAST_AGREEMENT and error <= LARGEST_ERROR


def _is_right(backend: Backend, found: Tensor, expected: Tensor) -> bool:
    """Whether a trial's logits are those of plain torch. What a lower precision costs was measured by the trainer: here
    is only seen that this computer's instructions do what they should."""
    if backend.precision == FLOAT32:
        return agrees(found, expected)
    error = float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30))
    return error <= LARGEST_REDUCED_ERROR


@torch.inference_mode()
def _trial(backend: Backend, network: SegmentationNetwork) -> tuple[float, Tensor]:
    """Seconds and some logits of a small image for each stem, the same for every back end."""
    architecture = network.architecture
    shape = trial_grid(architecture)
    images = [
        (np.random.default_rng(stem).random((channels, *shape), dtype=np.float32), stem)
        for stem, channels in enumerate(architecture.stems)
    ]

    def stream(image: NDArray[np.float32], stem: int) -> Iterator[Tensor]:
        """The last maps of an image."""
        return NetworkStream(backend, architecture, image, stem=stem).decode()

    seconds = []
    for _ in range(TRIALS):
        started_s = time.perf_counter()
        logits = [
            backend.head(slab, slice(TRIAL_OUTPUTS)).cpu() for image, stem in images for slab in stream(image, stem)
        ]
        seconds.append(time.perf_counter() - started_s)
    return min(seconds), torch.cat(logits, dim=1)


def _key(digest: str, device: torch.device) -> str:
    # Where OpenVINO may not be used now, that must not decide for processes that may.
    packages = [torch.__version__, _version(OPENVINO) if _compiles(device) else ""]
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    facts = [
        platform.node(),
        processor_name(),
        platform.machine(),
        card,
        torch.get_num_threads(),
        *packages,
        digest,
    ]
    return hashlib.sha256("\0".join(str(fact) for fact in facts).encode()).hexdigest()[:32]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _remembered(memory: Path) -> dict[str, str]:
    """Choices by key; a damaged file is as good as none."""
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}


def _remember(memory: Path, choices: dict[str, str]) -> None:
    """Write the file; a folder that cannot be written to only costs another measurement."""
    try:
        with atomic_path(memory) as temporary:
            temporary.write_text(json.dumps(choices, indent=1), encoding="utf-8")
    except ResourceError:
        return
