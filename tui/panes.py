"""Panes beside a graph: one at a time behind a row of tabs, or side by side; `style.tcss` says when."""

from __future__ import annotations

from collections.abc import Mapping

from textual import events
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class TabRow(Widget):
    """One line with the names of the panes; the shown one stands in brackets and bold."""

    DEFAULT_CSS = """
    TabRow { height: 1; background: $panel; color: $text-muted; }
    """
    active: reactive[str] = reactive("")

    class Pressed(Message):
        """A tab was clicked."""

        def __init__(self, pane: str) -> None:
            self.pane = pane
            super().__init__()

    def __init__(self, titles: Mapping[str, str]) -> None:
        super().__init__()
        self.titles = dict(titles)
        self._ends: list[tuple[int, str]] = []

    def count(self, pane: str, text: str) -> None:
        """Show a text (a count) behind a title; "" for none."""
        self.titles[pane] = f"{self.titles[pane].partition(' ')[0]} {text}".strip()
        self.refresh()

    def render(self) -> Content:
        """Draw the line."""
        parts: list[tuple[str, str]] = []
        self._ends, end = [], 0
        for pane, title in self.titles.items():
            shown = f"[{title}]" if pane == self.active else f" {title} "
            parts.append((shown, "bold $text-primary" if pane == self.active else ""))
            end += len(shown)
            self._ends.append((end, pane))
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        """Say which tab was clicked."""
        offset = event.get_content_offset(self)
        pane = next((pane for end, pane in self._ends if offset is not None and offset.x < end), None)
        if pane is not None:
            event.stop()
            self.post_message(self.Pressed(pane))


class Panes(Container):
    """Holds the panes. `active` is the one that is shown where only one is, by its id."""

    DEFAULT_CSS = """
    Panes .pane { height: 1fr; width: 1fr; border-title-color: $text-muted; padding: 0; }
    Panes .pane:focus-within { border-title-color: $text-primary; border-title-style: bold; }
    """
    active: reactive[str] = reactive("")

    def watch_active(self, active: str) -> None:
        """Show the pane."""
        for pane in self.query(".pane"):
            pane.set_class(pane.id == active, "-active")
        for row in self.query(TabRow):
            row.active = active
