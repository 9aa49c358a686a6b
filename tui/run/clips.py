"""The clips and pictures of a run, prompt by prompt and step by step; two of them, or two runs, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.worker import get_current_worker

from vflow.tui.glyphs import Glyphs, glyphs_for
from vflow.tui.run.choosing import Choice
from vflow.tui.run.samples import Gallery, PublishedLike, Sample, gather
from vflow.tui.run.strips import StageLine, WordLine
from vflow.tui.run.viewer import Viewer

__all__ = ["ClipPair", "Clips"]

#: rows below which only the picture is left, and below which the timeline goes
_LOW, _LOWER = 10, 6

_HELP = """\
# Clips

What was drawn on the way and at the end, one prompt at a time. Left and right go through the steps, up and down through
the prompts; while the newest is shown, newer ones take its place. `b` puts two steps beside each other, `w` says which
of the two left and right move. A clip plays at its own rate; in the terminal at most 12 frames a second are drawn,
fewer where a frame takes many colours. `.` and `,` go frame by frame.

The mouse: a click on the picture plays or pauses, one on the timeline goes there, one on a step chooses it, the wheel
goes frame by frame.
"""


class Clips(Viewer, can_focus=True):
    """Shows the samples of a run; see `look` and `show`."""

    DEFAULT_CSS = """
    Clips {
        &.-lower TimeLine, &.-lower WordLine, &.-lower StageLine { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "stage(-1)", "Step", key_display="←→", id="clips.step_back", tooltip="An earlier step"),
        Binding("right", "stage(1)", "Later step", show=False, id="clips.step_on", tooltip="A later step"),
        Binding("up", "prompt(-1)", "Prompt", key_display="↑↓", id="clips.prompt_back", tooltip="The prompt before"),
        Binding("down", "prompt(1)", "Next prompt", show=False, id="clips.prompt_on", tooltip="The next prompt"),
        Binding("b", "beside", "Beside", id="clips.beside", tooltip="Two steps side by side, or one again"),
        Binding("w", "swap", "Other side", id="clips.swap", tooltip="Of two steps, move the other one"),
        Binding("home", "ends(0)", "First step", show=False, id="clips.first", tooltip="The first step"),
        Binding("end", "ends(-1)", "Last step", show=False, id="clips.last", tooltip="The last step"),
        Binding("y", "copy", "Copy path", show=False, id="clips.copy", tooltip="Copy the path of the file"),
    ]

    class _Found(Message):
        def __init__(self, request: int, galleries: tuple[Gallery, ...]) -> None:
            super().__init__()
            self.request, self.galleries = request, galleries

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.choice = Choice()
        self._request = 0
        self._known = False

    def compose(self) -> ComposeResult:
        """The prompt, the pictures, the time, the steps."""
        yield WordLine()
        yield from super().compose()
        yield StageLine()

    # what is shown

    def look(self, *runs: tuple[Path, Iterable[PublishedLike]]) -> None:
        """Look for samples in the folders of runs, with what they said they wrote (in a thread), and show them."""
        self._request += 1
        request, asked = self._request, [(folder, tuple(published)) for folder, published in runs]

        def find() -> None:
            worker = get_current_worker()
            found = tuple(gather(folder, published) for folder, published in asked)
            if not worker.is_cancelled:
                self.post_message(self._Found(request, found))

        self.run_worker(find, thread=True, exclusive=True, group="gather")

    @on(_Found)
    def _show_found(self, message: _Found) -> None:
        """Show what was found, unless it is looked for again."""
        message.stop()
        if message.request == self._request:
            self.show(*message.galleries)

    def show(self, *galleries: Gallery) -> None:
        """Show the samples of a run, or of two beside each other; what was chosen stays so."""
        self._known = True
        self.choice.show(*galleries)
        self._update()

    @property
    def samples(self) -> list[Sample | None]:
        """What is shown, on each side."""
        return [self.choice.sample(side) for side in range(self.choice.sides)]

    def help_text(self) -> str:
        """Return what the help says of it, as markdown."""
        return _HELP

    # actions

    def action_stage(self, by: int) -> None:
        """Go to a later step, or an earlier one."""
        self.choice.move_stage(by)
        self._update()

    def action_ends(self, place: int) -> None:
        """Go to the first step, or to the last."""
        if self.choice.stages:
            self.choice.choose(self.choice.stages[place])
            self._update()

    def action_prompt(self, by: int) -> None:
        """Go to the next prompt, or to the one before."""
        self.choice.move_prompt(by)
        self.clock.at = 0.0
        self._update()

    def action_beside(self) -> None:
        """Put two steps side by side, or show one again."""
        if not self.choice.beside():
            self.notify("there is but one step of this prompt to look at", severity="warning")
        self._update()

    def action_swap(self) -> None:
        """Of two steps, move the other one."""
        self.choice.swap()
        self._update()

    def action_copy(self) -> None:
        """Copy the path of the file that left and right change."""
        if sample := self.choice.sample(min(self.choice.side, self.choice.sides - 1)):
            self.app.copy_to_clipboard(str(sample.path))
            self.notify(f"copied {sample.path}", markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done."""
        if action == "beside":
            return len(self.choice.galleries) < 2
        return len(self.choice.chosen) > 1 if action == "swap" else True

    def on_stage_line_pressed(self, message: StageLine.Pressed) -> None:
        """Go to a step."""
        message.stop()
        self.choice.choose(message.stage)
        self._update()

    # drawing

    def on_mount(self) -> None:
        """Show what there was to show before."""
        self._update()

    def on_resize(self, event: events.Resize) -> None:
        """Leave out what there is no room for."""
        self.set_class(event.size.height < _LOWER, "-lower")
        for player in self.players:
            player.set_class(event.size.height < _LOW, "-low")

    def _update(self) -> None:
        """Show what is chosen."""
        if not self.query(StageLine):  # not there yet: as soon as it is
            return
        self.be(self.choice.sides)
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        choice = self.choice
        players = self.players[: choice.sides]
        for side, player in enumerate(players):
            sample = choice.sample(side)
            player.set_class(len(choice.chosen) > 1 and side == choice.side, "-moves")
            player.set_class(self.size.height < _LOW, "-low")
            player.show(sample, self._title(side, sample), self._absent())
        prompts = choice.prompts
        place = f"{prompts.index(choice.prompt) + 1}/{len(prompts)}" if choice.prompt in prompts else ""
        self.query_one(WordLine).show(place, choice.words)
        self.query_one(StageLine).show(choice.stages, tuple(choice.chosen), choice.side)
        self.settle()

    def _title(self, side: int, sample: Sample | None) -> str:
        """What a picture is called: its stage, of two runs with the run's name; of two steps, which one moves."""
        label = sample.stage.label if sample else ""
        if len(self.choice.galleries) > 1:
            return " of ".join(part for part in (label, self.choice.galleries[side].name) if part)
        if len(self.choice.chosen) > 1 and side == self.choice.side:
            return f"{self._glyphs.into} {label}"
        return label

    def _absent(self) -> str:
        if self._request and not self._known:
            return "looking for clips …"
        return "no clip of this prompt" if self.choice.prompt else "no clips yet"

    @property
    def _glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", None) or glyphs_for()


class ClipPair(Clips):
    """Shows the samples of two runs side by side: the same prompt, and of each the step or the newest one before."""

    def compare(self, one: Path, other: Path) -> None:
        """Look for samples in the folders of two runs, and show them."""
        self.look((one, ()), (other, ()))
