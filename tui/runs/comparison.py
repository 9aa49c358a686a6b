"""What the comparison of two runs looks like: lines and rows, and the curves that both have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from textual.content import Content

from vflow.engine.cli.text import count
from vflow.engine.comparing import Comparison, metric_rows, node_rows, side_words
from vflow.tui.glyphs import Glyphs
from vflow.tui.run.metrics import groups
from vflow.tui.table import Cell, Column

if TYPE_CHECKING:
    from vflow.engine.following import Series

NODE_COLUMNS = (
    Column("node", "NODE", 18, grow=True, sortable=False),
    Column("a", "A", 12, grow=True, sortable=False),
    Column("b", "B", 12, grow=True, sortable=False),
    Column("key", "KEY", 9, sortable=False),
)
METRIC_COLUMNS = (
    Column("metric", "METRIC", 22, grow=True, sortable=False),
    Column("a", "A", 9, right=True, sortable=False),
    Column("b", "B", 9, right=True, sortable=False),
    Column("apart", "B - A", 9, right=True, sortable=False),
    Column("steps", "AT STEP", 11, right=True, rank=1, sortable=False),
)
_BEST = ("train/loss", "eval/loss")


def node_cells(found: Comparison, at: int, glyphs: Glyphs) -> list[Cell]:
    """Return the line of a node: how it went on either side, and whether its result is the same by its key."""
    name, one, other, words = node_rows(found.nodes[at : at + 1])[0]
    looks = {
        "same key": (f"{glyphs.state('kept')} same", "success"),
        "another key": (f"{glyphs.state('to run')} another", "warning"),
    }
    # of what was computed the time alone is worth the room
    how = [Cell(went.removeprefix("computed ") or went, _look(went)) for went in (one, other)]
    return [Cell(name), *how, Cell(*looks.get(words, (words, "")))]


def _look(state: str) -> str:
    return "error" if state.startswith("failed") else "muted" if state.startswith(("-", "reused", "light")) else ""


def metric_cells(found: Comparison, name: str, chosen: str) -> list[Cell]:
    """Return the line of a metric: its last value on either side; the one whose curves are shown stands out."""
    both = found.metrics[name]
    values = ["-" if one is None else f"{one[1]:.4g}" for one in both]
    steps = dict.fromkeys("-" if one is None else f"{one[0]}" for one in both)
    apart = metric_rows({name: both})[0][3]
    parts = [*(Cell(value) for value in values), Cell(apart, "strong"), Cell(", ".join(steps), "muted")]
    return [Cell(name, "accent" if name == chosen else ""), *parts]


def metric_order(names: Iterable[str]) -> list[str]:
    """Return metrics in the order in which one looks at them; the lowest value of one stands below the last."""
    names = list(names)
    order = [metric for group in groups(dict.fromkeys(map(_plain, names))) for metric in group.metrics]
    return sorted(names, key=lambda name: (order.index(_plain(name)), name != _plain(name)))


def _plain(name: str) -> str:
    return name.removesuffix(", lowest")


def sides(found: Comparison, glyphs: Glyphs) -> Content:
    """Return two lines on the two runs, with what they failed of in lines of their own."""
    parts: list[str | tuple[str, str]] = []
    for letter, side in zip("AB", found.sides, strict=True):
        first, _, rest = side_words(side).partition("\n")
        parts += [(f"{letter}  ", "bold"), glyphs.text(first)]
        if rest:
            parts += ["\n   ", (glyphs.text(rest.strip()), "$text-error")]
        parts.append("\n" if letter == "A" else "")
    return Content.assemble(*parts)


def verdict(found: Comparison) -> str:
    """Return in a few words whether anything that decides results differs."""
    if found.equal:
        return "nothing differs"
    parts = []
    if lines := found.graph.lines():
        parts.append(f"{count(len([line for line in lines if not line.endswith(':')]), 'difference')} of the graphs")
    if other := sum(pair.equal is False for pair in found.nodes):
        parts.append(f"{count(other, 'node')} with another key")
    if not parts:
        parts.append("the graphs are equal")
    return ", ".join(parts)


def settings(found: Comparison, glyphs: Glyphs) -> Content:
    """Return what differs between the graphs, a line each, in the engine's words."""
    lines = found.graph.lines() or ["The graphs are equal: the same nodes, settings and links."]
    styles = {"+": "$text-success", "-": "$text-error"}
    shown: list[tuple[str, str]] = []
    for line in lines:
        style = styles.get(line[0], "bold" if line.endswith(":") else "")
        style = "$text-muted" if line.endswith("(not in the key)") else style
        shown.append((glyphs.text(line) + "\n", style))
    return Content.assemble(*shown)


def curve_names(one: Mapping[str, Series], other: Mapping[str, Series]) -> list[str]:
    """Return the metrics that have curves: losses that both have first, then what both have, then the others."""
    names = dict.fromkeys([*one, *other])

    def rank(name: str) -> tuple[bool, int, bool]:
        best = _BEST.index(name) if name in _BEST else len(_BEST)
        return (not (name in one and name in other), best, "loss" not in name)

    return sorted(names, key=rank)
