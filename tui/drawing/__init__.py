"""A graph as text with roles: rails or boxes. Pure functions, which know nothing of a terminal."""

from vflow.tui.drawing.boxes import boxes
from vflow.tui.drawing.canvas import Canvas, Drawing, Role, Run, Side, Spot, role_of
from vflow.tui.drawing.finding import around, matching, nearest, survivor
from vflow.tui.drawing.items import Zoom
from vflow.tui.drawing.layout import kept_layout
from vflow.tui.drawing.rails import rails
from vflow.tui.drawing.says import mark_of

__all__ = [
    "Canvas",
    "Drawing",
    "Role",
    "Run",
    "Side",
    "Spot",
    "Zoom",
    "around",
    "boxes",
    "kept_layout",
    "mark_of",
    "matching",
    "nearest",
    "rails",
    "role_of",
    "survivor",
]
