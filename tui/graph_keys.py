"""The keys of the graph view."""

from textual.binding import Binding, BindingType

from vflow.tui.glyphs import STATES, Glyphs


def _key(keys: str, action: str, label: str, name: str, about: str, show: bool = False) -> Binding:
    return Binding(keys, action, label, show=show, id=f"graph.{name}", tooltip=about)


KEYS: list[BindingType] = [
    _key("down,j", "next", "Next", "next", "Select the next node, in the order of the work"),
    _key("up,k", "previous", "Previous", "previous", "Select the node before"),
    _key("right,l", "follow('out')", "Along", "along", "Follow a wire to a node that reads this one; again: the next"),
    _key("left,h", "follow('in')", "Back along", "back", "Follow a wire to a node that this one reads"),
    _key("home", "first", "First", "first", "Select the first node"),
    _key("end", "last", "Last", "last", "Select the last node"),
    _key("pagedown,ctrl+d", "page(1)", "Page down", "page_down", "Select a node one page further down"),
    _key("pageup,ctrl+u", "page(-1)", "Page up", "page_up", "Select a node one page further up"),
    _key("enter", "open", "Open", "open", "Open the selected node"),
    _key("v", "switch_view", "View", "view", "Draw rails or boxes", show=True),
    _key("plus,equals_sign", "zoom(1)", "Zoom in", "zoom_in", "Show more of each node: names, types, ports"),
    _key("minus", "zoom(-1)", "Zoom out", "zoom_out", "Show less of each node"),
    _key("0", "zoom(0)", "Fit", "zoom_fit", "Show of each node what there is room for"),
    _key("space", "fold", "Ports", "fold", "Show the ports of the selected node below it, or hide them (rails)"),
    _key("full_stop", "port(1)", "Next port", "next_port", "Choose a port of the selected node: for a, c and C"),
    _key("comma", "port(-1)", "Port before", "previous_port", "Choose the port before"),
    _key("slash", "filter", "Filter", "filter", "Keep bright what has these words in its name, type or state"),
    _key("n", "match(1)", "Next match", "next_match", "Select the next node that matches the filter"),
    _key("N", "match(-1)", "Match before", "previous_match", "Select the node before that matches the filter"),
    _key("colon", "jump", "Go to", "jump", "Go to a node by its name"),
    _key("shift+left", "pan(-8, 0)", "Pan left", "pan_left", "Move the window to the left"),
    _key("shift+right", "pan(8, 0)", "Pan right", "pan_right", "Move the window to the right"),
    _key("shift+up", "pan(0, -3)", "Pan up", "pan_up", "Move the window up"),
    _key("shift+down", "pan(0, 3)", "Pan down", "pan_down", "Move the window down"),
    _key("escape", "leave", "Clear filter", "clear", "Drop the filter, or leave what is being typed"),
]


def help_text(glyphs: Glyphs) -> str:
    """Return what the view is and what its marks mean, as Markdown."""
    states = "\n".join(f"| `{glyphs.state(state)}` | {state} |" for state in STATES)
    return f"""# Graph

The nodes of the graph in the order of their work, and what reads what. Rails show one row a node; boxes, where there is
room, run from left to right. The wires of the selected node are heavy. Where two wires cross, the one that passes under
is interrupted; lines that touch are joined.

`{glyphs.node}` is read by nodes below, `{glyphs.end}` by none. `{glyphs.output}` names an output of the graph,
`{glyphs.broken}` a link that leads nowhere.

| mark | state |
| :-: | --- |
{states}

`.` and `,` choose a port of the selected node: `a`, `c` and `C` then add a node at it, connect it, or take its link.
Click on a node to select it, double click to open it, click on a port to connect it. The wheel scrolls, with shift
sideways.
"""
