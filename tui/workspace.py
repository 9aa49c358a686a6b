"""What is edited, and what the engine says of it.

A workspace has no widgets and knows none; each change loads the draft's text again, so that `loaded`, `outline` and
`problems` always are those of the text. Wrong edits raise `EditError` and leave everything as it was.
"""

from __future__ import annotations

from vflow.tui.node_edits import Deletion, NodeEdits, stem_of
from vflow.tui.part_edits import PartEdits

__all__ = ["EMPTY", "Deletion", "Workspace", "begin", "stem_of"]

#: What an empty graph begins with.
EMPTY = "vflow: 1\nname: {name}\n\nnodes: {{}}\n"


class Workspace(NodeEdits, PartEdits):
    """A graph that is being edited: its draft, the profiles and parameters that are chosen, and every edit of it."""


def begin(name: str, shipped: str = "") -> str:
    """Return the text that a new graph begins with: empty, or that of a graph that ships."""
    from vflow.engine.load import shipped_graphs

    return shipped_graphs()[shipped] if shipped else EMPTY.format(name=name)
