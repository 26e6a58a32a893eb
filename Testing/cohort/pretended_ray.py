"""A Ray of one process, whose workers do at once what they are asked for, and die when it is planned."""

from __future__ import annotations

import types
from collections.abc import Callable, Container, Sequence
from typing import Any


class RayError(Exception):
    """As Ray says that a worker is gone."""


class Reference:
    """What a call gives: a value, or an error that is raised when it is asked for."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value, self.error = value, error


class Call:
    """A method of an actor."""

    def __init__(self, ray: PretendedRay, method: Callable[..., Any]) -> None:
        self.ray, self.method = ray, method

    def remote(self, *arguments: Any) -> Reference:
        self.ray.calls += 1
        if self.ray.calls in self.ray.deaths:
            return Reference(error=RayError("The actor died unexpectedly.\n  class: _Actor\nIts process was killed."))
        return Reference(self.method(*arguments))


class Actor:
    """An object in a process of its own, which is this one."""

    def __init__(self, ray: PretendedRay, made: Any) -> None:
        self.ray, self.made = ray, made

    def __getattr__(self, name: str) -> Call:
        return Call(self.ray, getattr(self.made, name))


class PretendedRay(types.ModuleType):
    """Stands for the module.

    Args:
        deaths: numbers of the calls, from 1, in which a worker dies; the first one of each opens the model.
    """

    exceptions = types.SimpleNamespace(RayError=RayError)

    def __init__(self, deaths: Container[int] = ()) -> None:
        super().__init__("ray")
        self.deaths = deaths
        self.calls = self.actors = self.killed = 0
        self.is_running = False

    def init(self, **_options: Any) -> None:
        self.is_running = True

    def shutdown(self) -> None:
        self.is_running = False

    def remote(self, **_options: Any) -> Callable[[Callable[..., Any]], Any]:
        def made(*arguments: Any, kind: Callable[..., Any]) -> Actor:
            self.actors += 1
            return Actor(self, kind(*arguments))

        return lambda kind: types.SimpleNamespace(remote=lambda *arguments: made(*arguments, kind=kind))

    def wait(self, references: Sequence[Reference], **_options: Any) -> tuple[list[Reference], list[Reference]]:
        return list(references[:1]), list(references[1:])

    def get(self, reference: Reference) -> Any:
        if reference.error is not None:
            raise reference.error
        return reference.value

    def kill(self, _actor: Actor) -> None:
        self.killed += 1
