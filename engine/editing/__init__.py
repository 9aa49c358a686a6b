"""Editing a graph's text: changes that keep comments, order and untouched lines, and a file that is being edited."""

from vflow.engine.editing import edits as edits
from vflow.engine.editing.draft import Draft
from vflow.engine.editing.errors import ChangedOnDisk, EditError

__all__ = ["ChangedOnDisk", "Draft", "EditError", "edits"]
