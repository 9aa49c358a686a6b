"""One result of the store, with all that explains it."""

from __future__ import annotations

import json

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from vflow.engine.cli.text import duration, size
from vflow.engine.store.holdings import Entry
from vflow.tui.dialogs.dialog import Dialog
from vflow.tui.glyphs import Glyphs


class Details(Dialog[None]):
    """Shows a result: what made it, of what, and where its files are."""

    DEFAULT_CSS = """
    Details {
        & > #box { width: 100; max-height: 90%; }
        VerticalScroll { height: auto; max-height: 100%; }
    }
    """

    def __init__(self, entry: Entry, note: str, glyphs: Glyphs) -> None:
        super().__init__(entry.key[:12], "esc: back")
        self._entry, self._note, self._glyphs = entry, note, glyphs

    def body(self) -> ComposeResult:
        """Show it."""
        with VerticalScroll():
            yield Static(self._told())

    def on_mount(self) -> None:
        """The arrows scroll."""
        self.query_one(VerticalScroll).focus()

    def _told(self) -> Content:
        record = self._entry.record
        parts: list[str | tuple[str, str]] = []

        def say(name: str, text: str) -> None:
            parts.extend([(f"{name}\n", "bold"), f"  {self._glyphs.text(text)}\n"])

        say("key", record.key)
        say("made by", f"{record.node_type} v{record.version}, node {record.node} of graph {record.graph}")
        say("cost", f"{duration(record.seconds)} to compute, {size(self._entry.size)} on disk")
        if self._entry.pinned:
            say("pinned", self._note or "without a note")
        for name, data in (("settings", record.settings), ("inputs", record.details["inputs"]), ("facts", record.facts),
                           ("environment", record.environment)):  # fmt: skip
            if data:
                parts.append((f"{name}\n", "bold"))
                parts += [f"  {self._glyphs.text(f'{key}: {_plain(value)}')}\n" for key, value in data.items()]
        if record.blobs:
            parts.append(("files\n", "bold"))
            parts += [f"  {blob.digest[:16]}{blob.suffix}, {size(blob.size)}\n" for blob in record.blobs[:100]]
        return Content.assemble(*parts)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
