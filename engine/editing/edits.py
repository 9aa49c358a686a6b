"""Edits of a graph's text. Each is a pure function from the text to the changed text.

An edit changes the lines that it is about and leaves all others as they are, byte for byte; what it writes follows the
file's own style. The result is read again and must hold exactly what was meant, or the edit is refused with an
`EditError`: so where an alias would carry a change to another place.

A node that only a profile adds is edited in that profile. Of a node that an extended file has, this file gets what
changes it.
"""

from vflow.engine.editing.nodes import (
    add_node,
    delete_node,
    duplicate_node,
    fresh_name,
    hanging,
    node_text,
    rename_node,
    replace_node,
)
from vflow.engine.editing.parameters import declare_param, remove_param, rename_param, set_param
from vflow.engine.editing.profiles import add_profile, remove_profile, rename_profile
from vflow.engine.editing.settings import reset_setting, set_disabled, set_setting
from vflow.engine.editing.wires import connect, disconnect, remove_output, rename_output, set_output

__all__ = [
    "add_node",
    "add_profile",
    "connect",
    "declare_param",
    "delete_node",
    "disconnect",
    "duplicate_node",
    "fresh_name",
    "hanging",
    "node_text",
    "remove_output",
    "remove_param",
    "remove_profile",
    "rename_node",
    "rename_output",
    "rename_param",
    "rename_profile",
    "replace_node",
    "reset_setting",
    "set_disabled",
    "set_output",
    "set_param",
    "set_setting",
]
