"""What the parts of the graph screen share: the workspace, the selected node, and how an edit is made and shown."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from textual.screen import Screen

from vflow.engine.problems import VflowError

if TYPE_CHECKING:
    from vflow.tui.app import VflowApp
    from vflow.tui.workspace import Workspace

Result = TypeVar("Result")


class WorkScreen(Screen[None]):
    """A screen over a workspace."""

    app: VflowApp
    workspace: Workspace

    @property
    @abstractmethod
    def selected(self) -> str | None:
        """The selected node; None where there is none."""

    @property
    @abstractmethod
    def port(self) -> tuple[str, str] | None:
        """The chosen port of the selected node: its name, and `in` or `out`; None where none is."""

    @abstractmethod
    def changed(self, select: str | None = None) -> None:
        """Show the workspace as it is now, and select a node."""

    def edit(self, change: Callable[[], Result]) -> tuple[Result] | None:
        """Make an edit and show it; returns what it gave in a tuple, None where it was not possible, which is said."""
        try:
            result = change()
        except VflowError as error:
            self.app.say(str(error), "error")
            return None
        self.changed()
        return (result,)

    def ask(self, dialogue: Coroutine[Any, Any, object]) -> None:
        """Begin a dialogue, which may show several dialogs one after the other; there is one at a time."""
        self.run_worker(dialogue, group="dialogue", exclusive=True, exit_on_error=True)

    def node(self) -> str | None:
        """Return the selected node, or say that none is."""
        if self.selected is None:
            self.app.say("no node is selected", "warning")
        return self.selected
