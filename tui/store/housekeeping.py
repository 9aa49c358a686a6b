"""Pinning, removing, collecting and verifying: asked on the screen, done in the background, one at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual import on, work
from textual.message import Message
from textual.screen import Screen
from textual.worker import Worker, get_current_worker

from vflow.engine.cli.text import count
from vflow.engine.problems import Interrupted, VflowError
from vflow.engine.store.collect import Chooser, Limits, Taking
from vflow.engine.store.keeping import goes, over_limit, stays, verdict
from vflow.tui.dialogs.ask import Ask, Reply
from vflow.tui.dialogs.prompt import Prompt

if TYPE_CHECKING:
    from vflow.tui.app import VflowApp
    from vflow.tui.store.reading import Looked

_APART = 0.1  # seconds between two words on how far something is

Wait = Callable[[str], None]
Stop = Callable[[], bool]


class Housekeeping(Screen[None]):
    """What a screen over the store does to it. `busy` says what goes on, in words; "" while nothing does."""

    app: VflowApp
    seen: Looked | None

    class _Said(Message):
        """Something on how far it is."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    class _Did(Message):
        """It is done: what to say of it, and whether the store has changed. `damages` are lines on what is wrong."""

        def __init__(self, said: str, severity: str, changed: bool, damages: list[str]) -> None:
            self.said, self.severity, self.changed, self.damages = said, severity, changed, damages
            super().__init__()

    _looking = False
    _doing = ""
    _doer: Worker[None] | None = None

    def chosen(self) -> list[str]:
        """Return the keys of what is to be acted on."""
        raise NotImplementedError

    def show_title(self) -> None:
        """Say what goes on."""
        raise NotImplementedError

    def action_look(self) -> None:
        """Look at the store again."""
        raise NotImplementedError

    @property
    def busy(self) -> str:
        """What goes on, in words."""
        return self._doing or ("looking" if self._looking else "")

    def begin_look(self) -> None:
        """Say that the store is looked at."""
        self._looking = True
        self.show_title()

    def end_look(self) -> None:
        """Say so no longer."""
        self._looking = False

    # --- asking -----------------------------------------------------------------------------------------------------

    def action_pin(self) -> None:
        """Pin, with a note."""
        self._begin(self._pin)

    def action_unpin(self) -> None:
        """Unpin."""
        self._begin(self._unpin)

    def action_remove(self) -> None:
        """Remove, after a look at what would go."""
        self._begin(self._remove)

    def action_collect(self) -> None:
        """Collect, after a look at what would go."""
        self._begin(self._collect)

    def action_verify(self) -> None:
        """Read everything; stop doing so where that goes on."""
        if self._doing.startswith("verifying") and self._doer is not None:
            self._doer.cancel()
        elif self._may_begin():
            assert self.seen is not None
            assert self.seen.store is not None
            self._do("verifying", self._verifying(self.seen.store.folder))

    def _begin(self, dialogue: Callable[[], Any]) -> None:
        if self._may_begin():
            self.run_worker(dialogue(), group="dialogue", exclusive=True)

    def _may_begin(self) -> bool:
        if self._doing:
            self.app.say(f"wait: {self._doing}", "warning")
        elif self.seen is None:
            self.app.say("wait: the store is being looked at", "warning")
        elif self.seen.tree is None:
            self.app.say(self.seen.problem, "warning")
        else:
            return True
        return False

    def _keys(self) -> list[str]:
        if not (keys := self.chosen()):
            self.app.say("there are no results in this line; a collection takes what nobody needs", "warning")
        return keys

    async def _pin(self) -> None:
        if keys := self._keys():
            about = f"{count(len(keys), 'result')} will be kept whatever happens. Why, for yourself:"
            note = await self.app.push_screen_wait(Prompt("pin", about=about))
            if note is not None:
                self._do("pinning", self._pinning(keys, note.strip()))

    async def _unpin(self) -> None:
        if keys := self._keys():
            self._do("unpinning", self._unpinning(keys))

    async def _remove(self) -> None:
        keys = self._keys()
        if not keys or self.seen is None or self.seen.tree is None:
            return
        found = self.seen.tree.found
        would = await asyncio.to_thread(lambda: Chooser(found, Limits(), time.time()).named(keys))
        lines = [*goes(would), *stays(would, found)]
        if not would:
            await self.app.push_screen_wait(Ask("remove", "nothing can go:", [Reply("stay", "close", "c")], lines))
            return
        said = f"{verdict(would, done=False)}. It is computed again when it is missed."
        replies = [Reply("keep", "keep", "k", "primary"), Reply("remove", "remove", "r", "error")]
        if await self.app.push_screen_wait(Ask("remove", said, replies, lines)) == "remove":
            self._do("removing", self._removing(keys))

    async def _collect(self) -> None:
        from vflow.tui.store.collecting import Collecting

        if self.seen is None or self.seen.tree is None:
            return
        glyphs = self.app.glyphs
        limits = await self.app.push_screen_wait(Collecting(self.seen.tree.found, self.seen.quota, glyphs))
        if limits is not None:
            self._do("collecting", self._collecting(limits))

    # --- doing ------------------------------------------------------------------------------------------------------

    def _do(self, what: str, act: Callable[[Wait, Stop], _Did]) -> None:
        self._doing = what
        self.show_title()
        self._doer = self._act(act)

    @work(thread=True, group="act", exit_on_error=False)
    def _act(self, act: Callable[[Wait, Stop], _Did]) -> None:
        worker = get_current_worker()

        def wait(holder: str) -> None:
            self.post_message(self._Said(f"waiting for another collection ({holder})"))

        try:
            done = act(wait, lambda: worker.is_cancelled)
        except Interrupted:
            done = self._Did("stopped", "information", False, [])
        except VflowError as error:
            done = self._Did(str(error), "error", True, [])
        self.post_message(done)

    @on(_Said)
    def _hear(self, event: _Said) -> None:
        event.stop()
        if self._doing:
            self._doing = event.text
            self.show_title()

    @on(_Did)
    def _finish(self, event: _Did) -> None:
        event.stop()
        self._doing, self._doer = "", None
        self.app.say(event.said, event.severity)  # type: ignore[arg-type]  # it is one of the three
        if event.damages:
            said = "This was damaged. It counts as absent from now on, and is computed again when it is needed."
            self.app.push_screen(Ask("damaged", said, [Reply("close", "close", "c")], event.damages))
        if event.changed:
            self.action_look()
        else:
            self.show_title()

    def _keeper(self) -> Any:
        assert self.seen is not None
        assert self.seen.store is not None
        return self.seen.store.keeper()

    def _pinning(self, keys: list[str], note: str) -> Callable[[Wait, Stop], _Did]:
        def act(wait: Wait, stop: Stop) -> Housekeeping._Did:
            kept = self._keeper().pin(keys, note, wait, stop)
            said = f"pinned {count(len(kept), 'result')}"
            if gone := len(keys) - len(kept):
                said += f"; {count(gone, 'other')} went meanwhile, or had no result yet"
            return self._Did(said, "warning" if gone else "information", True, [])

        return act

    def _unpinning(self, keys: list[str]) -> Callable[[Wait, Stop], _Did]:
        def act(_wait: Wait, _stop: Stop) -> Housekeeping._Did:
            gone = self._keeper().unpin(keys)
            said = f"unpinned {count(len(gone), 'result')}" if gone else "nothing of this is pinned"
            return self._Did(said, "information" if gone else "warning", bool(gone), [])

        return act

    def _removing(self, keys: list[str]) -> Callable[[Wait, Stop], _Did]:
        def act(wait: Wait, stop: Stop) -> Housekeeping._Did:
            return self._took(self._keeper().remove(keys, wait, stop), "")

        return act

    def _collecting(self, limits: Limits) -> Callable[[Wait, Stop], _Did]:
        def act(wait: Wait, stop: Stop) -> Housekeeping._Did:
            taken = self._keeper().collect(limits, wait, stop)
            return self._took(taken, over_limit(taken, limits))

        return act

    def _took(self, taken: Taking, more: str) -> _Did:
        assert self.seen is not None
        refused = stays(Taking(refused=taken.refused), self.seen.tree.found) if self.seen.tree is not None else []
        said = "; ".join([verdict(taken, done=True), *refused, *([more] if more else [])])
        return self._Did(said, "warning" if refused or more else "information", True, [])

    def _verifying(self, folder: Any) -> Callable[[Wait, Stop], _Did]:
        def act(_wait: Wait, stop: Stop) -> Housekeeping._Did:
            from vflow.tui.store.reading import verify

            said = 0.0

            def progress(done: int, total: int) -> None:
                nonlocal said
                if stop():
                    raise Interrupted("stopped")
                if time.monotonic() - said > _APART:
                    said = time.monotonic()
                    self.post_message(self._Said(f"verifying {done:,} of {total:,}"))

            damages = verify(folder, progress)
            told = f"{len(damages):,} damaged" if damages else "all is well: everything can be read and is what it was"
            return self._Did(told, "warning" if damages else "information", bool(damages), list(map(str, damages)))

        return act
