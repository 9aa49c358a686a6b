"""The file that is edited: saving, the editor, undo, and what happens to it on disk meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import VflowError
from vflow.tui.dialogs.ask import Ask, Reply
from vflow.tui.dialogs.pick import Choice, Pick
from vflow.tui.dialogs.prompt import Prompt
from vflow.tui.screens.base import WorkScreen

if TYPE_CHECKING:
    from vflow.engine.editing import Draft

_LOOK_SECONDS = 1.0
_MOST_TOLD = 3  # changes of a file that are told


class Files(WorkScreen):
    """The actions on the file."""

    _seen: tuple[int, int] | None = None  #: the file's time and size when it last was what the draft knows
    _answered: tuple[int, int] | None = None  #: those about which was asked already

    def watch_file(self) -> None:
        """Look at the file now and then."""
        self.set_interval(_LOOK_SECONDS, self.look_at_disk)

    # --- undo ------------------------------------------------------------------------------------------------------

    def action_undo(self) -> None:
        """Take the last edit back."""
        label = self.workspace.undo()
        self.changed()
        self.app.say(f"undone: {label}" if label else "nothing to undo")

    def action_redo(self) -> None:
        """Do again what was undone."""
        label = self.workspace.redo()
        self.changed()
        self.app.say(f"done again: {label}" if label else "nothing to do again")

    def action_history(self) -> None:
        """Show what was done."""
        self.ask(self._history())

    async def _history(self) -> None:
        labels = self.workspace.draft.history
        choices = [
            Choice(back, label, "" if back else "now")
            for back, label in enumerate(reversed(["as it was opened", *labels]))
        ]
        back = await self.app.push_screen_wait(Pick("go back to", choices))
        for _ in range(back or 0):
            self.workspace.undo()
        if back:
            self.changed()
            self.app.say(f"{back} edits undone; ctrl+r does them again")

    # --- saving ----------------------------------------------------------------------------------------------------

    def action_save(self) -> None:
        """Save."""
        self.ask(self.save())

    async def save(self) -> bool:
        """Save, asking where the file has changed meanwhile; tell whether it is saved."""
        from vflow.engine.editing import ChangedOnDisk

        draft = self.workspace.draft
        if not draft.dirty and draft.disk() == "same":
            self.app.say("nothing to save")
            return True
        try:
            draft.save()
        except ChangedOnDisk as error:
            if error.state == "changed":
                return await self._ask_about_disk(saving=True)
            return self._write()  # it is gone: there is nothing to lose
        except VflowError as error:
            self.app.say(f"not saved: {error}", "error")
            return False
        return self._saved()

    def _write(self) -> bool:
        """Save over what is there."""
        try:
            self.workspace.draft.save(overwrite=True)
        except VflowError as error:
            self.app.say(f"not saved: {error}", "error")
            return False
        return self._saved()

    def _saved(self) -> bool:
        self._seen = self._answered = None
        self.changed()
        self.app.say(f"saved {self.workspace.path}")
        return True

    def action_save_as(self) -> None:
        """Save under another name."""
        self.ask(self.save_as())

    async def save_as(self) -> bool:
        """Ask for a name and save there; tell whether that was done."""
        here = str(self.workspace.path)
        name = await self.app.push_screen_wait(Prompt("save as", here, check=_path_problem))
        if not name:
            return False
        path = Path(name).expanduser()
        if path.exists() and path.resolve() != self.workspace.path.resolve():
            replies = [Reply("no", "another name", "n", "primary"), Reply("yes", "overwrite", "o", "error")]
            if await self.app.push_screen_wait(Ask("overwrite?", f"{path} is there already.", replies)) != "yes":
                return False
        try:
            self.workspace.save_as(path)
        except VflowError as error:
            self.app.say(f"not saved: {error}", "error")
            return False
        return self._saved()

    # --- the disk --------------------------------------------------------------------------------------------------

    def look_at_disk(self) -> None:
        """Notice what others do to the file: in a thread, since a disk may be slow."""
        if self.app.screen is self:
            self.run_worker(self._look, thread=True, group="disk", exclusive=True)

    def _look(self) -> None:
        draft = self.workspace.draft
        state = _state_of(draft.path)
        if state == self._seen:
            return
        if draft.disk() == "same":
            self._seen = state  # the file need not be read again until something happens to it
        elif state != self._answered:
            self.app.call_from_thread(self._told_of_disk, draft)

    def _told_of_disk(self, draft: Draft) -> None:
        state = draft.disk()
        if draft is not self.workspace.draft or self.app.screen is not self or state == "same":
            return
        self._answered = _state_of(draft.path)
        if state == "gone":
            self.app.say(f"{draft.path} is gone; your text is here, and ctrl+s writes it again", "warning")
        elif not draft.dirty:
            self.read_again("it was changed on disk; u brings back what was here")
        else:
            self.ask(self._ask_about_disk())

    async def _ask_about_disk(self, saving: bool = False) -> bool:
        """Ask what to do about a file that others changed; tell whether this text is saved now."""
        from vflow.tui.dialogs.difference import Difference

        draft = self.workspace.draft
        replies = [
            Reply("difference", "what differs", "d", "primary"),
            Reply("reload", "take theirs", "t"),
            Reply("mine", "overwrite" if saving else "keep mine", "m", "error" if saving else "default"),
        ]
        while True:
            said = f"{draft.path} was changed by something else, and you have changes that are not saved."
            answer = await self.app.push_screen_wait(Ask("changed on disk", said, replies))
            self._answered = _state_of(draft.path)
            if answer == "difference":
                theirs = _text_on_disk(draft.path)
                await self.app.push_screen_wait(Difference("theirs (-) and yours (+)", theirs, draft.text))
                continue
            if answer == "reload":
                self.read_again("u brings back what was here")
            elif answer == "mine" and saving:
                return self._write()
            return False

    def action_reload(self) -> None:
        """Read the file again."""
        self.read_again("u brings back what was here")

    def read_again(self, more: str) -> None:
        """Read the file again, and say what it changed and what `more` there is to say."""
        before = self.workspace.text
        try:
            self.workspace.reload()
        except VflowError as error:
            self.app.say(f"not read: {error}", "error")
            return
        self.changed()
        self.app.say(f"read {self.workspace.path} again: {_told(before, self.workspace.text)}; {more}")

    async def offer_recovered(self) -> None:
        """Ask about the text that a crash left behind."""
        from vflow.tui.dialogs.difference import Difference

        draft = self.workspace.draft
        replies = [
            Reply("take", "take it up", "t", "primary"),
            Reply("difference", "what differs", "d"),
            Reply("drop", "drop it", "x", "error"),
        ]
        if draft.recovered == draft.text:
            draft.recovered = None
        while draft.recovered is not None:
            said = f"There is unsaved work on {draft.path} from a session that did not end well."
            answer = await self.app.push_screen_wait(Ask("unsaved work", said, replies))
            if answer == "difference":
                screen = Difference("the file (-) and the unsaved work (+)", draft.text, draft.recovered)
                await self.app.push_screen_wait(screen)
                continue
            if answer == "take":
                self.workspace.replace("take up unsaved work", draft.recovered)
                self.changed()
            if answer is not None:
                draft.recovered = None
            return


def _told(before: str, after: str) -> str:
    """Return in a few words what another text changes."""
    from vflow.engine.edited import differences

    if before == after:
        return "it is the same"
    found = differences(before, after)
    more = f" and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
    return (", ".join(found[:_MOST_TOLD]) or "comments or layout changed") + more


def _path_problem(name: str) -> str:
    path = Path(name).expanduser()
    if not name.strip():
        return "a name is missing"
    if path.is_dir():
        return f"{path} is a folder"
    return "" if path.parent.is_dir() else f"there is no folder {path.parent}"


def _state_of(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _text_on_disk(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""
