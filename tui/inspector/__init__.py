"""The inspector: a node's settings as a form, its ports, and what is wrong with them."""

from vflow.tui.inspector.inspector import Inspector

__all__ = ["Inspector"]
