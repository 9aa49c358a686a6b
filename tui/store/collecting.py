"""Collecting: how much may stay, and what would go, shown before anything does."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Button, Checkbox, Input, Label, Static
from textual.worker import get_current_worker

from vflow.engine.cli.text import size
from vflow.engine.problems import VflowError
from vflow.engine.store.collect import Chooser, Limits, Taking
from vflow.engine.store.holdings import Holdings
from vflow.engine.store.keeping import goes, limits_of, over_limit, verdict
from vflow.tui.dialogs.dialog import Dialog
from vflow.tui.glyphs import Glyphs

_SOON = 0.15  # seconds after the last key until what would go is worked out
_FIELDS = {
    "max-size": ("at most", "200GB: until the store holds no more"),
    "older-than": ("not used for", "30d, 12h: what was not used for so long"),
    "keep-runs": ("keep last runs", "3: what they used stays; alone: nothing else does"),
}


class Tick(Checkbox):
    """A checkbox whose mark, not its colour, says that it is ticked."""

    BUTTON_LEFT, BUTTON_INNER, BUTTON_RIGHT = "[", " ", "]"

    def watch_value(self) -> None:
        """Draw the mark, or not."""
        self.BUTTON_INNER = "x" if self.value else " "
        super().watch_value()
        self.refresh()


class Collecting(Dialog[Limits]):
    """Ask what is to be collected; dismissed with the limits. What would go is worked out while one types."""

    DEFAULT_CSS = """
    Collecting {
        & > #box { width: 90; max-height: 95%; }
        .field { height: 1; }
        .field Label { width: 16; color: $text-muted; }
        #verdict { height: auto; margin: 1 0 0 0; text-style: bold; }
        #goes { height: auto; max-height: 10; color: $text-muted; }
        #buttons { height: auto; margin: 1 0 0 0; }
        #buttons Button { margin: 0 1 0 0; }
        Checkbox { border: none; padding: 0; background: transparent; height: 1; width: auto; }
        &.-low #goes, &.-low .note { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "collect", "Collect", id="collect.do", tooltip="Collect what is shown", priority=True),
        Binding("down", "app.focus_next", "Next", show=False),
        Binding("up", "app.focus_previous", "Previous", show=False),
    ]

    class _Worked(Message):
        """What would go, or why that cannot be told."""

        def __init__(self, version: int, limits: Limits | None, taking: Taking | None, problem: str) -> None:
            self.version, self.limits, self.taking, self.problem = version, limits, taking, problem
            super().__init__()

    def __init__(self, found: Holdings, quota: int | None, glyphs: Glyphs) -> None:
        super().__init__("collect", "ctrl+s: collect   esc: cancel")
        self._found, self._quota, self._glyphs = found, quota, glyphs
        self._version = 0
        self._soon: Timer | None = None
        self._limits: Limits | None = None
        self.taking: Taking | None = None  #: what would go, as far as it was worked out

    def body(self) -> ComposeResult:
        """Show the fields and what would go."""
        yield Static(Content(self._glyphs.text(self._introduction())), classes="note")
        for name, (label, hint) in _FIELDS.items():
            with Horizontal(classes="field"):
                yield Label(label)
                yield Input(placeholder=hint, id=name, compact=True)
        yield Tick("take trainings too, with the states they go on from", id="trainings", compact=True)
        yield Static("", id="verdict", markup=False)
        with VerticalScroll(id="goes", can_focus=False):
            yield Static("", id="lines", markup=False)
        with Horizontal(id="buttons"):
            yield Button("Collect", id="collect", variant="error", compact=True, disabled=True)
            yield Button("Cancel", id="cancel", compact=True)

    def _introduction(self) -> str:
        quota = f"your quota of {size(self._quota)} counts" if self._quota is not None else "only left-over files go"
        return (
            f"What goes is computed again when it is missed. Never taken: what a run in progress needs, what is "
            f"pinned, and (unless you say so) trainings. With nothing written below, {quota}."
        )

    def on_mount(self) -> None:
        """Work out what would go without a word."""
        self.query_one("#max-size", Input).focus()
        self._work_out()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Work it out again, once typing pauses."""
        event.stop()
        self._later()

    def on_checkbox_changed(self, event: Checkbox.Changed) -> None:
        """Work it out again."""
        event.stop()
        self._later()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """To the next field, and from the last one to the button."""
        event.stop()
        self.focus_next()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Collect, or not."""
        event.stop()
        if event.button.id == "collect":
            self.action_collect()
        else:
            self.action_cancel()

    def action_collect(self) -> None:
        """Take what is shown; nothing while that is not worked out."""
        if self._limits is not None and self.taking:
            self.dismiss(self._limits)

    # --- what would go ----------------------------------------------------------------------------------------------

    def _later(self) -> None:
        self._version += 1
        self._limits = self.taking = None
        self.query_one("#collect", Button).disabled = True
        if self._soon is not None:
            self._soon.stop()
        self._soon = self.set_timer(_SOON, self._work_out)

    def _work_out(self) -> None:
        self._version += 1
        texts = [self.query_one(f"#{name}", Input).value.strip() for name in _FIELDS]
        self._choose(self._version, texts, self.query_one(Checkbox).value)

    @work(thread=True, group="choose", exclusive=True, exit_on_error=False)
    def _choose(self, version: int, texts: list[str], trainings: bool) -> None:
        worker = get_current_worker()
        limits: Limits | None = None
        taking: Taking | None = None
        problem = ""
        try:
            limits = _limits(texts, trainings)
            taking = Chooser(self._found, limits, time.time()).choose()
        except VflowError as error:
            problem = str(error)
        if not worker.is_cancelled:
            self.post_message(self._Worked(version, limits, taking, problem))

    @on(_Worked)
    def _show(self, event: _Worked) -> None:
        event.stop()
        if event.version != self._version:
            return
        self._limits, self.taking = event.limits, event.taking
        said, lines = event.problem, []
        if event.taking is not None and event.limits is not None:
            said, lines = verdict(event.taking, done=False), goes(event.taking)
            if over := over_limit(event.taking, event.limits):
                lines.append(over)
        clean = self._glyphs.text
        told = self.query_one("#verdict", Static)
        told.update(clean(said))
        told.set_class(bool(event.problem), "problem")
        self.query_one("#lines", Static).update("\n".join(map(clean, lines)))
        self.query_one("#collect", Button).disabled = not event.taking


def _limits(texts: list[str], trainings: bool) -> Limits:
    """Return what the fields mean.

    Raises:
        GraphError: one of them means nothing.
    """
    from vflow.engine.problems import GraphError

    max_size, older_than, keep_runs = texts
    if keep_runs and not keep_runs.isdecimal():
        raise GraphError(f"{keep_runs!r} is no number of runs", "write 0 or more")
    return limits_of(max_size or None, older_than or None, int(keep_runs) if keep_runs else None, trainings)
