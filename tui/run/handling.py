"""What can be done with a run from its screen: stop it, go on with it, lay another run's curves over its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from textual.screen import Screen

from vflow.engine.following import Following, Status
from vflow.engine.problems import GraphError, VflowError
from vflow.tui.dialogs.ask import Ask, Reply
from vflow.tui.run import launch

if TYPE_CHECKING:
    from vflow.engine.runlist import RunRow
    from vflow.tui.app import VflowApp

Result = TypeVar("Result")

_MOST_OTHERS = 4
_ENDED = ("interrupted", "failed", "died")


class Handling(Screen[None]):
    """The actions of a run's screen that do something. What takes long is done in threads."""

    app: VflowApp
    following: Following
    others: list[Following]
    asked = ""  #: how the run was asked to stop from here: "step" or "now"
    starting = ""  #: what is under way to go on with it, in words
    _offered: object = None

    def show_curves(self) -> None:
        """Draw the curves, with those of the other runs over them."""
        raise NotImplementedError

    def say_state(self) -> None:
        """Say how the run stands as a whole."""
        raise NotImplementedError

    def settle(self, status: Status) -> None:
        """Forget what was asked of a run that has ended, and offer what is possible now."""
        if status != "running":
            self.asked = ""
        if (offered := (status, self.starting)) != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what is possible now."""
        status = self.following.status
        if action == "stop":
            return status in ("running", "unfinished")
        return status in _ENDED and not self.starting if action == "go_on" else True

    def _ask(self, dialogue: Callable[[], object]) -> None:
        self.run_worker(dialogue(), group="dialogue", exclusive=True)  # type: ignore[arg-type]

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await self.run_worker(call, thread=True, group="handling", exit_on_error=False).wait()

    # --- stop -------------------------------------------------------------------------------------------------------

    def action_stop(self) -> None:
        """Ask how to stop the run, and do it."""
        if self.following.status == "unfinished":
            where = self.following.elsewhere or "another machine"
            self.app.say(f"it was started on {where}: stop it there", "warning")
        else:
            self._ask(self._stop)

    async def _stop(self) -> None:
        if self.asked == "step":
            said = "It is asked to stop already, and finishes its step. Stop it now? What was kept stays kept."
            replies = [Reply("now", "stop now", "n", "error"), Reply("no", "wait", "w")]
        else:
            said = "It keeps its state, and can be gone on with from there. What was finished is not computed again."
            replies = [
                Reply("step", "finish the step", "f", "primary"),
                Reply("now", "stop now", "n", "error"),
                Reply("no", "let it run", "l"),
            ]
        answer = await self.app.push_screen_wait(Ask("stop this run?", said, replies))
        if answer not in ("step", "now"):
            return
        try:
            await self._in_thread(partial(launch.stop, self.following.folder, now=answer == "now"))
        except Exception as error:
            self._say_wrong(error)
        else:
            self.asked = answer
            self.say_state()

    # --- go on ------------------------------------------------------------------------------------------------------

    def action_go_on(self) -> None:
        """Go on with the run; asks which graph to take where its file was changed since."""
        self._ask(self._go_on)

    async def _go_on(self) -> None:
        from vflow.engine.steering import going_on

        folder = self.following.folder
        try:
            how = await self._in_thread(partial(going_on, folder))
            as_it_ran = how.as_it_ran
            if how.because and not how.as_it_ran:
                said = f"{how.because}. Go on with the graph as it ran, or with the file as it is now?"
                replies = [
                    Reply("ran", "as it ran", "r", "primary"),
                    Reply("now", "as it is now", "n"),
                    Reply("no", "cancel", "c"),
                ]
                answer = await self.app.push_screen_wait(Ask("go on with which graph?", said, replies))
                if answer not in ("ran", "now"):
                    return
                as_it_ran = answer == "ran"
            self.starting = "starting: the run is planned before it goes on"
            self.say_state()
            await self._in_thread(partial(launch.go_on, folder, as_it_ran=as_it_ran))
            if how.as_it_ran:
                self.app.say(f"it goes on with the graph as it ran: {how.because}", "warning")
        except Exception as error:
            self._say_wrong(error)
        finally:
            self.starting = ""
            self.say_state()

    def _say_wrong(self, error: Exception) -> None:
        """Say what went wrong; several problems in a dialog."""
        error = getattr(error, "error", error)  # a worker's failure holds what happened
        told = str(error) if isinstance(error, VflowError) else f"{type(error).__name__}: {error}"
        first, *more = told.split("\n")
        if more or isinstance(error, GraphError):
            self.app.push_screen(Ask("not possible", first, [Reply("ok", "ok", "o", "primary")], more))
        else:
            self.app.say(first, "error")

    # --- other runs -------------------------------------------------------------------------------------------------

    def action_lay_over(self) -> None:
        """Choose a run whose curves are laid over this one's, or take one away."""
        self._ask(self._lay_over)

    async def _lay_over(self) -> None:
        from vflow.tui.dialogs.pick import Choice, Pick

        rows = await self._in_thread(partial(_runs_beside, self.following.folder))
        there = {one.folder.absolute() for one in self.others}
        choices = [
            Choice(row.path, row.name, f"{row.graph} {row.state}", group="take away" if over else "lay over")
            for over in (True, False)
            for row in rows
            if (row.path.absolute() in there) == over
        ]
        nothing = f"there is no other run beside {self.following.folder}"
        path = await self.app.push_screen_wait(Pick("curves of which run?", choices, nothing=nothing))
        if path is None:
            return
        known = [one for one in self.others if one.folder.absolute() == path.absolute()]
        if known:
            self.others = [one for one in self.others if one not in known]
            known[0].close()
        elif len(self.others) >= _MOST_OTHERS:
            self.app.say(f"{_MOST_OTHERS} runs at most lie over another; take one away first", "warning")
        else:
            self.others = [*self.others, Following(path)]
        self.show_curves()


def _runs_beside(folder: Path) -> list[RunRow]:
    """Return the other runs in the folder above a run's own, newest first."""
    from vflow.engine.runlist import RunList

    found = RunList(folder.absolute().parent)
    for _ in found.refresh():
        pass
    return [row for row in found.rows if row.path.absolute() != folder.absolute()]
