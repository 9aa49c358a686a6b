"""Finding nodes by what is typed."""

from __future__ import annotations

from collections.abc import Mapping

from vflow.engine.outline import Outline
from vflow.tui.drawing.says import mark_of
from vflow.tui.glyphs import Mark


def matching(outline: Outline, marks: Mapping[str, Mark], text: str) -> list[str]:
    """Return the nodes in whose name, type or state every typed word is found, in the order of the outline."""
    words = text.casefold().split()
    found = []
    for name, view in outline.nodes.items():
        mark = marks.get(name) or mark_of(view)
        said = f"{name} {view.type} {mark.state}".casefold()
        if all(word in said for word in words):
            found.append(name)
    return found


def nearest(outline: Outline, text: str) -> str | None:
    """Return the node that a typed name most likely means: the name itself, its beginning, a part, its letters."""
    wanted = text.strip().casefold()
    if not wanted:
        return None
    ranked = [(_rank(name.casefold(), wanted), len(name), name) for name in outline.nodes]
    rank, _, name = min(ranked, default=(4, 0, ""), key=lambda one: one[:2])
    return name if rank < 4 else None


def _rank(name: str, wanted: str) -> int:
    letters = iter(name)
    tests = (name == wanted, name.startswith(wanted), wanted in name, all(letter in letters for letter in wanted))
    return next((rank for rank, fits in enumerate(tests) if fits), 4)


def around(outline: Outline, node: str, side: str) -> list[str]:
    """Return the nodes that feed a node (`in`), or that it feeds (`out`), each once, in the order of its ports."""
    if side == "in":
        found = [wire.source for wire in outline.into(node)]
    else:
        found = [wire.target for wire in outline.out_of(node)]
    return [name for name in dict.fromkeys(found) if name in outline.nodes and name != node]


def survivor(before: Outline, after: Outline, node: str) -> str | None:
    """Return the node to go on with where `node` is gone: the next one that is still there, else the one before."""
    names = list(before.nodes)
    if node in names:
        place = names.index(node)
        for name in (*names[place:], *reversed(names[:place])):
            if name in after.nodes:
                return name
    return next(iter(after.nodes), None)
