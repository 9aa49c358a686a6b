"""The keys of the graph screen, in the order in which the footer shows them."""

from textual.binding import Binding, BindingType


def _key(key: str, action: str, name: str, id: str, about: str, show: bool = False) -> Binding:  # noqa: A002
    return Binding(key, action, name, show=show, id=id, tooltip=about)


GRAPH_KEYS: list[BindingType] = [
    _key("a", "add", "Add", "graph.add", "Add a node: those that fit the selected one first, wired at once", True),
    _key("c", "connect", "Connect", "graph.connect", "Link an input of the selected node: what fits is offered", True),
    _key("d,delete", "delete", "Delete", "graph.delete", "Delete the selected node; says what would hang, and asks"),
    _key("p", "parameters", "Params", "graph.parameters", "Edit parameters, profiles and outputs", True),
    _key("f5", "run", "Run", "graph.run", "Run the graph; it goes on when the UI is closed", True),
    _key("ctrl+s", "save", "Save", "file.save", "Save; comments, order and untouched lines stay as they are", True),
    _key("C", "disconnect", "Disconnect", "graph.disconnect", "Take a link from the selected node"),
    _key("r", "rename", "Rename", "graph.rename", "Rename the selected node; what refers to it follows"),
    _key("D", "duplicate", "Duplicate", "graph.duplicate", "Copy the selected node with its links"),
    _key("o", "switch", "On/off", "graph.switch", "Disable the selected node, or enable it again"),
    _key("t", "node_text", "Node's text", "graph.text", "Edit the selected node as it is written"),
    _key("T", "file_text", "File's text", "file.text", "Edit the whole file as it is written"),
    _key("E", "editor", "$EDITOR", "file.editor", "Open the file in $EDITOR; it is read again afterwards"),
    _key("u,ctrl+z", "undo", "Undo", "edit.undo", "Take the last edit back, without end"),
    _key("ctrl+r,ctrl+y", "redo", "Redo", "edit.redo", "Do again what was undone"),
    _key("H", "history", "History", "edit.history", "Show what was done, and go back to a point of it"),
    _key("S", "save_as", "Save as", "file.save_as", "Save under another name, and go on with that file"),
    _key("R", "reload", "Reload", "file.reload", "Read the file again; undo brings your text back"),
    _key("ctrl+o", "open", "Open", "file.open", "Open another graph: of this folder, or one that ships"),
    _key("shift+f5,f17", "run_here", "Run to here", "graph.run_here", "Run what the selected node needs, and it"),
    _key("z", "zoom", "Zoom", "pane.zoom", "Give the focused pane the whole screen, and back"),
    _key("1", "pane('graph')", "Graph", "pane.graph", "Go to the graph"),
    _key("2", "pane('inspector')", "Inspector", "pane.inspector", "Go to the settings of the selected node"),
    _key("3", "pane('problems')", "Problems", "pane.problems", "Go to the problems"),
    _key("4", "pane('plan')", "Plan", "pane.plan", "Go to the plan"),
    _key("escape", "back", "Back", "pane.back", "Back to the graph"),
]
