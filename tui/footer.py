"""The last line of a screen: the keys that matter now. One widget that draws a line, where Textual's own makes many."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.app import RenderResult
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget


@dataclass(frozen=True)
class _Key:
    start: int  # the first cell
    end: int  # the cell after the last
    key: str
    enabled: bool
    tooltip: str


class KeyLine(Widget):
    """Shows the keys that can be pressed now, of the focused widget first, and at the right the command palette's.

    A click on one presses it. Those for which there is no room are left out: the help has them all.
    """

    DEFAULT_CSS = """
    KeyLine {
        dock: bottom; height: 1; pointer: pointer;
        color: $footer-description-foreground; background: $footer-background;
    }
    """
    ALLOW_SELECT = False

    def __init__(self, *, compact: bool = False, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        """`compact`: with fewer blanks."""
        super().__init__(id=id)
        self._compact = compact
        self._keys: list[_Key] = []

    def on_mount(self) -> None:
        """Follow what can be pressed."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def on_unmount(self) -> None:
        """Follow no longer."""
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _changed(self, screen: Screen[object]) -> None:
        if self.is_attached and screen is self.screen:
            self.refresh()

    def render(self) -> RenderResult:
        """Draw the line."""
        active, app, width = self.screen.active_bindings, self.app, self.size.width
        self._keys, shown = [], set()
        parts: list[tuple[str, str]] = []
        palette = active.get(app.COMMAND_PALETTE_BINDING) if app.ENABLE_COMMAND_PALETTE else None
        pad = "" if self._compact else " "
        right = f"{app.get_key_display(palette.binding)} {palette.binding.description} " if palette else ""
        room, at = width - cell_len(right) - bool(right), 0
        for _, binding, enabled, tooltip in active.values():
            if not binding.show or binding.action in shown:
                continue
            shown.add(binding.action)
            key = f"{pad}{app.get_key_display(binding)} "
            end = at + cell_len(key) + cell_len(binding.description) + 1
            if end > room:
                break
            dim = "" if enabled else "dim "
            parts += [(key, f"{dim}bold $footer-key-foreground"), (f"{binding.description} ", dim.strip())]
            self._keys.append(_Key(at, end, binding.key, enabled, tooltip or binding.tooltip))
            at = end
        if palette is not None and room >= 0:
            parts.append((" " * (room - at), ""))
            key, _, word = right.partition(" ")
            parts += [("▏", "$foreground 20%"), (f"{key} ", "bold $footer-key-foreground"), (word, "")]
            said = palette.binding.tooltip or palette.binding.description
            self._keys.append(_Key(room, width, palette.binding.key, palette.enabled, said))
        return Content.assemble(*parts)

    def _at(self, event: events.MouseEvent) -> _Key | None:
        offset = event.get_content_offset(self)
        return next((one for one in self._keys if offset is not None and one.start <= offset.x < one.end), None)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Tell what the key under the pointer does."""
        found = self._at(event)
        self.tooltip = found.tooltip or None if found else None

    def on_click(self, event: events.Click) -> None:
        """Press the key that was clicked."""
        if (found := self._at(event)) is not None:
            event.stop()
            if found.enabled:
                self.app.simulate_key(found.key)
            else:
                self.app.bell()
