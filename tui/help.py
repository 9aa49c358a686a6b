"""Help for what has the focus: what it is, and which keys do what there. It is made from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.widgets import Markdown

from vflow.tui.dialogs.dialog import Dialog

if TYPE_CHECKING:
    from textual.binding import ActiveBinding
    from textual.screen import Screen

    from vflow.engine.node import Node


class HelpScreen(Dialog[None]):
    """Shows a page of markdown."""

    DEFAULT_CSS = """
    HelpScreen {
        & > #box { width: 100; height: 90%; }
        VerticalScroll { height: 1fr; }
        Markdown { padding: 0 1; background: $surface; }
        MarkdownH1 { content-align: left middle; margin: 0; padding: 0; }
        MarkdownH2 { margin: 1 0 0 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1,question_mark,q", "cancel", "Close", show=False, id="help.close", tooltip="Close the help"),
    ]

    def __init__(self, page: str) -> None:
        super().__init__("help", "esc: back")
        self.page = page

    def body(self) -> ComposeResult:
        """Show the page."""
        with VerticalScroll():
            yield Markdown(self.page, open_links=False)

    def on_mount(self) -> None:
        """The arrows scroll."""
        self.query_one(VerticalScroll).focus()


def page_for(screen: Screen[object]) -> str:
    """Return the help for what has the focus on a screen: its text, the keys, then the text of what it lies in."""
    focused = screen.focused or screen
    texts = [text for node in focused.ancestors_with_self if (text := _text_of(node))]
    return "\n\n".join([*texts[:1], keys_table(screen.active_bindings.values(), screen), *texts[1:]])


def _text_of(node: DOMNode) -> str:
    ask = getattr(node, "help_text", None)
    return str(ask() or "") if callable(ask) else ""


def keys_table(active: Iterable[ActiveBinding], screen: Screen[object]) -> str:
    """Return the keys that work now as tables, those of the focused thing first."""
    found: dict[str, dict[str, tuple[list[str], Binding]]] = {}
    for one in active:
        binding = one.binding
        if not binding.id:  # Textual's own: arrows and the like
            continue
        where = "Everywhere" if one.node is screen.app else "Here"
        row = found.setdefault(where, {}).setdefault(binding.id, ([], binding))
        row[0].append(screen.app.get_key_display(binding))
    tables = []
    for where in ("Here", "Everywhere"):
        if rows := found.get(where):
            lines = [f"## {where}", "", "| key | does | name |", "| --- | --- | --- |"]
            for keys, binding in rows.values():
                shown = " ".join(f"`{_cell(key)}`" for key in keys)
                lines.append(f"| {shown} | {_cell(binding.tooltip or binding.description)} | {binding.id or ''} |")
            tables.append("\n".join(lines))
    names = "The names are for keys of your own: `vflow config set keys graph.add=n`."
    return "\n\n".join(["# Keys", *tables, names])


def node_page(cls: type[Node]) -> str:
    """Return the reference of a node type as markdown: what it does, its ports and settings."""
    from vflow.engine.words import about_of, bounds_of, default_words, key_words, port_words, type_words

    parts = [f"# {cls.__name__}", about_of(cls)]
    for title, ports in (("Inputs", cls.ports), ("Outputs", cls.outputs)):
        if ports:
            words = [(port.name, port_words(port, cls)) for port in ports.values()]
            parts.append(_table(title, ("port", "type"), words))
    rows = [
        (
            name,
            ", ".join([type_words(field.annotation), *bounds_of(field)]) + "; " + default_words(field),
            "; ".join(filter(None, [field.description or "", key_words(field)])),
        )
        for name, field in cls.model_fields.items()
    ]
    if rows:
        parts.append(_table("Settings", ("setting", "takes", "is"), rows))
    return "\n\n".join(part for part in parts if part)


def _table(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"## {title}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join(lines + [f"| {' | '.join(map(_cell, row))} |" for row in rows])


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")
