"""What went wrong, or well, in a place of its own: it stays until its cause has gone, and no longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from MultiTaskSegLib.panel.summary import error_text


class MessageView:
    """A label with a message, and the choices that it is about."""

    def __init__(
        self, label: Any, causes: Callable[[], tuple[Any, ...]], failed: Callable[[bool], object] = lambda _is: None
    ) -> None:
        """Take over the label.

        Args:
            label: where the message is shown.
            causes: returns what has to change before a message is out of date.
            failed: is told whether there is a message that something was not done.
        """
        self._label, self._causes, self._failed = label, causes, failed
        self._about: tuple[Any, ...] = ()
        self.say("")

    def say(self, text: str) -> None:
        """Show rich text; nothing takes no room."""
        self._show(text, False)

    def fail(self, message: str, details: str = "") -> None:
        """Say that something was not done, and why; ``details`` is rich text about what was done."""
        self._show(error_text(message) + details, True)

    def update(self) -> None:
        """Take a message away whose cause has changed; any other stays, whatever else the user does."""
        if self._label.text and self._causes() != self._about:
            self.say("")

    def _show(self, text: str, is_failure: bool) -> None:
        self._about = self._causes() if text else ()
        self._label.text = text
        self._label.visible = bool(text)
        self._failed(is_failure)


def values_of(parameters: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """These parameters as values that can be compared; nodes by their ID. Nothing for a scene that is being closed."""
    if parameters is None:
        return ()
    values = (getattr(parameters, name) for name in names)
    return tuple(value.GetID() if hasattr(value, "GetID") else value for value in values)
