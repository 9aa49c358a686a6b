"""One line with the groups of metrics; the shown one stands in brackets and bold, and is always in sight."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from vflow.tui.glyphs import glyphs_for


class MetricRow(Widget):
    """Names to choose from by a click. Where they do not fit, those around the shown one are seen."""

    DEFAULT_CSS = """
    MetricRow { height: 1; color: $text-muted; }
    """

    class Pressed(Message):
        """A name was clicked."""

        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

    def __init__(self) -> None:
        super().__init__()
        self.names: Sequence[str] = ()
        self.active = ""
        self._ends: list[tuple[int, str]] = []

    def show(self, names: Sequence[str], active: str) -> None:
        """Show these names."""
        if (tuple(names), active) != (tuple(self.names), self.active):
            self.names, self.active = tuple(names), active
            self.refresh()

    def render(self) -> Content:
        """Draw the line."""
        glyphs = getattr(self.app, "glyphs", None) or glyphs_for()
        width, names = self.size.width, [glyphs.text(name) for name in self.names]
        at = self.names.index(self.active) if self.active in self.names else 0
        first, last = at, at + 1
        room = width - 4 - len(names[at]) - 2 if names else 0
        while names:  # as many as fit, by turns behind and before the shown one
            if last < len(names) and len(names[last]) + 2 <= room:
                room -= len(names[last]) + 2
                last += 1
            elif first > 0 and len(names[first - 1]) + 2 <= room:
                first -= 1
                room -= len(names[first]) + 2
            else:
                break
        parts: list[tuple[str, str]] = [(f"{glyphs.out_of} " if first else "  ", "")]
        self._ends, end = [(2, self.names[first - 1] if first else "")], 2
        for number in range(first, min(last, len(names))):
            shown = f"[{names[number]}]" if number == at else f" {names[number]} "
            parts.append((shown, "bold $text-primary" if number == at else ""))
            end += len(shown)
            self._ends.append((end, self.names[number]))
        if last < len(names):
            parts.append((f" {glyphs.into}", ""))
            self._ends.append((end + 2, self.names[last]))
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        """Say which name was clicked."""
        offset = event.get_content_offset(self)
        name = next((name for end, name in self._ends if offset is not None and offset.x < end), "")
        if name:
            event.stop()
            self.post_message(self.Pressed(name))
