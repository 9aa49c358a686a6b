"""From the graph to its runs: start one, and go to the others."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from vflow.engine.problems import VflowError, errors
from vflow.engine.runlist import live_runs
from vflow.tui.dialogs.ask import Ask, Reply
from vflow.tui.screens.texts import Texts


class Running(Texts):
    """The actions that start something."""

    def action_run(self) -> None:
        """Run the graph."""
        self.ask(self._run(()))

    def action_run_here(self) -> None:
        """Run what the selected node needs, and it."""
        if (node := self.node()) is not None:
            self.ask(self._run((node,)))

    async def _run(self, until: tuple[str, ...]) -> None:
        if found := errors(self.workspace.problems):
            count = "a problem" if len(found) == 1 else f"{len(found)} problems"
            self.app.say(f"the graph has {count}; mend that first", "error")
            self.action_pane("problems")
            return
        if self.workspace.draft.dirty or not self.workspace.path.exists():
            replies = [Reply("save", "save and run", "s", "primary"), Reply("no", "cancel", "n")]
            said = "A run reads the file, and you have changes that are not saved."
            if await self.app.push_screen_wait(Ask("save first?", said, replies)) != "save" or not await self.save():
                return
        if await self._is_going_on():
            return
        self.app.say(f"starting {self.workspace.path}")
        start = partial(self._start, until)
        self.run_worker(start, thread=True, group="start", exclusive=True)

    async def _is_going_on(self) -> bool:
        """Where this graph runs already ask what to do; tell whether no other run is to be started."""
        name = self.workspace.loaded.graph.name
        look = self.run_worker(partial(live_runs, Path("runs"), name), thread=True, group="runs", exclusive=True)
        running = await look.wait()
        if not running:
            return False
        replies = [
            Reply("open", "open that", "o", "primary"),
            Reply("start", "start another", "s"),
            Reply("no", "cancel", "n"),
        ]
        lines = [f"{row.name}  began {row.date}" for row in running]
        answer = await self.app.push_screen_wait(Ask("it runs already", f"{name} is being run:", replies, lines))
        if answer == "open":
            self.app.open_run(running[0].path)
        return answer != "start"

    def _start(self, until: tuple[str, ...]) -> None:
        """Start the run: in a thread, since it is planned before it begins."""
        from vflow.tui.run import launch

        try:
            folder = launch.start(
                self.workspace.path, self.workspace.profiles, self.workspace.sets_as_words(), until=until
            )
        except VflowError as error:
            self.app.call_from_thread(self._say_not_started, str(error))
            return
        self.app.call_from_thread(self.app.open_run, folder)

    def _say_not_started(self, said: str) -> None:
        self.ask(self._ask_not_started(said))

    async def _ask_not_started(self, said: str) -> None:
        first, *more = said.split("\n")
        await self.app.push_screen_wait(Ask("the run did not start", first, [Reply("ok", "ok", "o", "primary")], more))

    def action_pane(self, pane: str) -> None:
        """Go to a pane."""
        raise NotImplementedError
