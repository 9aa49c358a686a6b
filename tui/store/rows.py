"""How the store's tree looks: a line for each graph, node and result."""

from __future__ import annotations

import time

from textual.content import Content

from vflow.engine.cli.text import count, duration, size
from vflow.engine.store.holdings import Entry, Holdings
from vflow.engine.store.listing import INTERRUPTED
from vflow.engine.store.tree import Figures, Place, StoreTree
from vflow.tui.glyphs import Glyphs
from vflow.tui.table import Cell, Column

COLUMNS = (
    Column("mark", "", 1, sortable=False),
    Column("name", "NAME", 22, grow=True),
    Column("type", "TYPE", 18, rank=7, sortable=False),
    Column("results", "RESULTS", 9, right=True, rank=2),
    Column("size", "SIZE", 9, right=True, rank=1),
    Column("cost", "COST", 11, right=True, rank=6),
    Column("age", "AGE", 7, right=True, rank=4),
    Column("used", "USED", 7, right=True, rank=3),
    Column("kept", "KEPT BY", 16, grow=True, rank=5, sortable=False),
)
_KINDS = {"models": "models", "samples": "samples", "damaged": "damaged files", "left over": "unneeded files"}
_SHORT = 12  # letters of a key


def name_of(place: Place) -> str:
    """Return what a line is called."""
    if place.kind != "results":
        return place.node or _KINDS[place.kind]
    if place.key:
        return place.key[:_SHORT]
    return place.node or place.graph or INTERRUPTED


def folds(place: Place) -> bool:
    """Tell whether a line can be opened to show others below it."""
    return not place.key and not (place.kind != "results" and place.node) and place.kind != "left over"


def cells_of(place: Place, tree: StoreTree, opened: bool, marked: bool, glyphs: Glyphs, now: float) -> list[Cell]:
    """Return a line as the cells of `COLUMNS`; `now` is in seconds since 1970."""
    found = tree.figures(place)
    fold = (glyphs.opened if opened else glyphs.folded) if folds(place) else " "
    name = f"{'  ' * place.depth}{fold} {name_of(place)}"
    return [
        Cell(glyphs.bullet if marked else "", "accent"),
        Cell(name, "strong" if not place.depth else "accent" if marked else ""),
        Cell(found.type if place.depth else "", "muted"),
        Cell(f"{found.results:,}" if found.results and not place.key else ""),
        Cell(size(found.size)),
        Cell(duration(found.seconds) if found.seconds else "", "muted"),
        Cell(short(now - found.created), "muted"),
        Cell(short(now - found.used), "muted"),
        Cell(_kept(place, found, tree), "success"),
    ]


def _kept(place: Place, found: Figures, tree: StoreTree) -> str:
    note = tree.notes.get(place.key, "")
    return ", ".join(f"pinned: {note}" if one == "pinned" and note else one for one in found.kept)


def sizes(found: Holdings, quota: int | None, shown: int | None, marked: int, glyphs: Glyphs) -> Content:
    """Return how much the store holds, and of how much that it may; `shown` is how many results a search found."""
    parts = [count(len(found.entries) if shown is None else shown, "result")]
    if marked:
        parts.append(f"{marked:,} marked")
    middle = f" {glyphs.middle} "
    if quota is None:
        return Content.styled(middle.join([*parts, size(found.total)]), "$text-muted")
    share = found.total / quota if quota else 1.0
    text = middle.join([*parts, f"{size(found.total)} of {size(quota)} [{glyphs.progress(share, 8)}]"])
    return Content.styled(text, "$text-error" if share > 1 else "$text-muted")


def short(seconds: float) -> str:
    """Return a time in one unit: `12 s`, `5 min`, `3 h`, `12 d`."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{max(0, seconds):.0f} s"


def about(place: Place | None, tree: StoreTree) -> list[str]:
    """Return what is known of a line, more fully."""
    if place is None or not tree.has(place):
        return []
    found = tree.figures(place)
    if place.kind != "results":
        return [_about_other(place)]
    if place.key:
        one = tree.one(place.key)
        if not isinstance(one, Entry):
            return [
                place.key,
                "an interrupted training: the same run goes on from it; a collection takes it if asked to",
            ]
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.created))
        parts = [f"{found.type} v{one.record.version}", f"computed in {duration(found.seconds)} on {made}", *found.kept]
        return [place.key, "; ".join(parts)]
    parts = [count(found.results, "result"), size(found.size), f"computed in {duration(found.seconds)}", *found.kept]
    return [" / ".join(filter(None, (place.graph, place.node))) or INTERRUPTED, "; ".join(parts)]


def _about_other(place: Place) -> str:
    return {
        "models": "fetched or built models: not removed by hand, a collection with a limit takes what was not used",
        "samples": "downloaded samples: not removed by hand, a collection with a limit takes what was not used",
        "damaged": "what was found damaged and set aside; a collection takes it",
        "left over": "files that nothing refers to; a collection takes them once they are an hour old",
    }[place.kind]
