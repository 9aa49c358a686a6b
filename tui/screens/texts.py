"""Text of a node, of the file, and of the file in the user's editor."""

from __future__ import annotations

import os
import shlex

from vflow.engine.problems import VflowError
from vflow.tui.dialogs.ask import Ask, Reply
from vflow.tui.screens.files import Files


class Texts(Files):
    """The actions on what is written."""

    def action_node_text(self) -> None:
        """Edit the selected node as text."""
        if (node := self.node()) is not None:
            self.ask(self._node_text(node))

    async def _node_text(self, node: str) -> None:
        from vflow.engine.editing import edits
        from vflow.tui.dialogs.text import EditText

        try:
            before = self.workspace.node_text(node)
        except VflowError as error:
            self.app.say(str(error), "error")
            return

        def told(text: str) -> list[str]:
            found = self.workspace.tried(lambda whole: edits.replace_node(whole, node, text))
            place = f"nodes.{node}"
            return [str(one) for one in found if one.where == place or one.where.startswith(f"{place}.")]

        text = await self.app.push_screen_wait(EditText(f"{node}, as it is written", before, told))
        if text is not None and text != before:
            self.edit(lambda: self.workspace.set_node_text(node, text))

    def action_file_text(self) -> None:
        """Edit the file as text."""
        self.ask(self.file_text())

    async def file_text(self, line: int = 0) -> None:
        """Edit the whole file as text, beginning at a line (from 1)."""
        from vflow.tui.dialogs.text import EditText

        before = self.workspace.text

        def told(text: str) -> list[str]:
            return [str(one) for one in self.workspace.tried(lambda _: text)]

        text = await self.app.push_screen_wait(EditText(str(self.workspace.path), before, told, line=line))
        if text is not None and text != before:
            self.edit(lambda: self.workspace.replace("edit the text", text))

    def action_editor(self) -> None:
        """Open the file in the user's editor."""
        self.ask(self._editor())

    async def _editor(self) -> None:
        if self.workspace.draft.dirty or not self.workspace.path.exists():
            replies = [Reply("save", "save, then edit", "s", "primary"), Reply("no", "cancel", "n")]
            said = "The editor opens the file, and you have changes that are not in it yet."
            if await self.app.push_screen_wait(Ask("save first?", said, replies)) != "save" or not await self.save():
                return
        if told := self.app.call_editor(editor_words(), self.workspace.path):
            self.app.say(told, "error")
        if self.workspace.draft.disk() == "changed":
            self.read_again("u brings back what was here")


def editor_words() -> list[str]:
    """Return the command of the user's editor: `$VISUAL`, `$EDITOR`, else one that is usually there."""
    given = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
    return shlex.split(given) or ["vi"]
