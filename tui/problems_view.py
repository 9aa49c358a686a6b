"""All problems of what is edited, live; selecting one goes there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from vflow.engine.problems import Problem, printable

#: severity -> (mark, its style): never colour alone
MARKS = {"error": ("E", "bold $text-error"), "warning": ("W", "bold $text-warning"), "hint": ("i", "$text-accent")}


class ProblemsView(OptionList):
    """A list of problems: mark, line, place, what is wrong, and what to do."""

    DEFAULT_CSS = """
    ProblemsView { height: 1fr; border: none; padding: 0 1; background: $background; }
    ProblemsView:focus { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Go there", id="problems.open", tooltip="Go to where the problem is"),
        Binding("j", "cursor_down", "Next", show=False, id="problems.next", tooltip="The next problem"),
        Binding("k", "cursor_up", "Previous", show=False, id="problems.previous", tooltip="The problem before"),
    ]

    class Chosen(Message):
        """A problem was selected."""

        def __init__(self, problem: Problem) -> None:
            self.problem = problem
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._problems: tuple[Problem, ...] = ()

    def help_text(self) -> str:
        """Return help, as markdown."""
        return (
            "# Problems\n\nEverything that is wrong, or worth a word, with its line in the file. "
            "`E` errors: nothing runs until they are mended. `W` warnings, `i` hints. They are found anew with "
            "every change; those of the plan follow a moment later. Enter goes to the node and setting."
        )

    def show(self, problems: Sequence[Problem]) -> None:
        """Show these; what was highlighted stays so while it is among them."""
        if tuple(problems) == self._problems and self.option_count:
            return
        at = self.highlighted
        before = self._problems[at] if at is not None and at < len(self._problems) else None
        self._problems = tuple(problems)
        self.clear_options()
        if not problems:
            self.add_option(Option(Content.styled("No problems.", "$text-muted"), disabled=True))
            return
        self.add_options([Option(_shown(problem)) for problem in problems])
        self.highlighted = self._problems.index(before) if before in self._problems else 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Say which problem was selected."""
        event.stop()
        if event.option_index < len(self._problems):
            self.post_message(self.Chosen(self._problems[event.option_index]))


def _shown(problem: Problem) -> Content:
    mark, style = MARKS[problem.severity]
    line = f"{problem.line}: " if problem.line else ""
    where = f"{problem.where.removeprefix('nodes.')}: " if problem.where else ""
    remedy = f"; {problem.remedy}" if problem.remedy else ""
    return Content.assemble(
        (f"{mark} ", style),
        (line, "$text-muted"),
        (printable(where), "bold"),
        printable(problem.message.replace("\n", " ")),
        (printable(remedy.replace("\n", " ")), "$text-muted"),
    )
