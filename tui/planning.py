"""Planning beside the editing: a plan follows each edit by itself, made by another process, and marks the graph."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, ClassVar

from textual.message import Message

from vflow.engine import plan_worker
from vflow.engine.plan_report import PlanReport, node_of
from vflow.engine.problems import Problem, errors
from vflow.tui.glyphs import Mark, State

if TYPE_CHECKING:
    from textual.app import App
    from textual.timer import Timer
    from textual.widget import Widget
    from textual.worker import Worker

    from vflow.engine.load import Loaded
    from vflow.engine.plan_report import NodePlan
    from vflow.engine.session import Request
    from vflow.tui.workspace import Workspace

_LONG = 0.4  # seconds after which it is said that a plan is being made
_LAST_WORD = 2.0  # seconds between the end of what a process says and its own end
_PATIENCE = 0.7  # seconds that a plan may still take which nobody wants any more, before its process is ended

#: what a plan calls a state -> what the graph's drawing does
STATES: dict[str, State] = {
    "reused": "kept",
    "will run": "to run",
    "decided later": "decided later",
    "not asked": "unknown",
    "failed": "error",
    "not needed": "not needed",
    "light": "light",
    "disabled": "disabled",
}


@dataclasses.dataclass(frozen=True)
class _Asked:
    request: Request
    version: int
    online: bool


class Planner:
    """Plans a workspace whenever that is asked for; the newest request wins.

    What it finds comes as messages to a widget (or an app). `report` is the last plan that there was: while the text
    has errors, or is planned again, it is that of an older text. Call `stop` when another workspace takes its place.
    """

    #: Whether `request` plans at all; a plan with the network is made anyway.
    live: ClassVar[bool] = True

    class Busy(Message):
        """A plan takes a while. `said` is what a node says that works at it, "" where none does."""

        def __init__(self, said: str) -> None:
            self.said = said
            super().__init__()

    class Done(Message):
        """A plan was made, of the workspace as it was at `version`; `online`: the network was asked."""

        def __init__(self, report: PlanReport, version: int, online: bool) -> None:
            self.report, self.version, self.online = report, version, online
            super().__init__()

    def __init__(self, widget: App[Any] | Widget, workspace: Workspace, *, wait: float = 0.3) -> None:
        """`wait` is in seconds: so long nothing may be asked for anew before a plan is begun."""
        self._widget, self._workspace, self._wait = widget, workspace, wait
        self.report: PlanReport | None = None
        self._timer: Timer | None = None
        self._asked: _Asked | None = None
        self._wake = asyncio.Event()
        self._worker: Worker[None] | None = None
        self._working = False
        self._process = _Process(self._tell)

    @property
    def busy(self) -> bool:
        """Tell whether an answer is still to come."""
        return self._timer is not None or self._asked is not None or self._working

    def request(self, *, online: bool = False) -> None:
        """Plan soon, as the workspace is then. `online`: at once, and with the network, as `vflow plan` does.

        Without, nothing is asked of the network and nothing downloaded: what is not known yet stays open.
        """
        if not (self.live or online):
            return
        if self._timer is not None:
            self._timer.stop()
        if online:
            self._ask(online)
        else:
            self._timer = self._widget.set_timer(self._wait, lambda: self._ask(online))

    def stop(self) -> None:
        """Plan no more; no answer comes after this."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._asked = None
        if self._worker is not None:
            self._worker.cancel()

    def _ask(self, online: bool) -> None:
        self._timer = None
        version = self._workspace.version
        if wrong := errors(self._workspace.loaded.problems):  # then there is nothing to plan, which is known at once
            self._give(PlanReport(problems=tuple(wrong), live=not online), version, online)
            return
        request = dataclasses.replace(self._workspace.request(), live=not online)
        self._asked = _Asked(request, version, online)
        self._wake.set()
        if self._worker is None:
            self._worker = self._widget.run_worker(self._serve(), group="planner", exit_on_error=True)

    async def _serve(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                asked, self._asked = self._asked, None
                if asked is None:
                    continue
                self._working = True
                report = await self._planned(asked)
                self._working = False
                if report is not None and self._asked is None:
                    self._give(report, asked.version, asked.online)
        finally:
            self._process.end()

    async def _planned(self, asked: _Asked) -> PlanReport | None:
        """Return the plan; None where a newer one is wanted meanwhile and this one does not come soon."""
        answer = asyncio.create_task(self._process.ask(asked.request))
        newer = asyncio.create_task(self._wake.wait())
        try:
            done, _ = await asyncio.wait({answer, newer}, timeout=_LONG, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                self._tell("")
                done, _ = await asyncio.wait({answer, newer}, return_when=asyncio.FIRST_COMPLETED)
            if answer not in done:
                done, _ = await asyncio.wait({answer}, timeout=_PATIENCE)
            if answer in done:
                return answer.result()
            self._process.end()
            return None
        finally:
            newer.cancel()
            answer.cancel()

    def _tell(self, said: str) -> None:
        self._widget.post_message(self.Busy(said))

    def _give(self, report: PlanReport, version: int, online: bool) -> None:
        if report.nodes:
            self.report = report
        self._widget.post_message(self.Done(report, version, online))


class _Process:
    """The process that plans: started when it is needed, and again after it was ended."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._errors: IO[bytes] | None = None
        self._count = 0

    async def ask(self, request: Request) -> PlanReport:
        """Return the plan of a request; where the process ends over it, a report that says so."""
        self._count += 1
        line = json.dumps({"id": self._count, "request": plan_worker.to_json(request)}) + "\n"
        try:
            process = self._started()
            await asyncio.to_thread(_write, process, line.encode())
            return PlanReport.from_json(await self._answer())
        except (OSError, EOFError, ValueError) as error:
            return PlanReport(problems=(await self._broken(error),), live=request.live)

    def end(self) -> None:
        """End the process, whatever it is at."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            with suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._lines, self._errors = asyncio.Queue(), tempfile.TemporaryFile()  # noqa: SIM115 - lives with the process
            # a session of its own: ctrl+c in an editor that has the terminal meanwhile is not meant for it
            self._process = subprocess.Popen(
                [sys.executable, *plan_worker.ARGUMENTS],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
            reading = (self._process.stdout, self._lines, asyncio.get_running_loop())
            threading.Thread(target=_read, args=reading, name="vflow-planner", daemon=True).start()
        return self._process

    async def _answer(self) -> Any:
        while line := await self._lines.get():
            answer = json.loads(line)
            if answer["id"] != self._count:
                continue
            if "report" in answer:
                return answer["report"]
            self._tell(answer["said"])
        raise EOFError

    async def _broken(self, error: Exception) -> Problem:
        process = self._process
        if process is None or self._errors is None:
            return Problem(f"no process for planning could be started: {error}", "close something, then press P")
        with suppress(subprocess.TimeoutExpired):  # its last word comes a moment before its end
            await asyncio.to_thread(process.wait, _LAST_WORD if isinstance(error, (EOFError, OSError)) else 0)
        code = process.returncode
        self.end()
        self._errors.seek(0)
        last = self._errors.read()[-4000:].decode(errors="replace").strip().rpartition("\n")[2]
        how = "no answer" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
        told = f"the process that plans broke off ({how}){f': {last}' if last else ''}"
        return Problem(told, "`vflow plan` shows more")


def _write(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def _read(answers: IO[bytes], lines: asyncio.Queue[bytes], loop: asyncio.AbstractEventLoop) -> None:
    """Hand lines over to the loop, at their end an empty one."""
    with answers, suppress(RuntimeError):  # the loop is gone: nobody wants them any more
        for line in answers:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, b"")


# --- what the graph shows of it ---------------------------------------------------------------------------------------


def marks_of(report: PlanReport | None, loaded: Loaded) -> dict[str, Mark]:
    """Return the mark of each node of a graph: its state and how many items, by the last plan that there was.

    What the files show to be wrong, or switched off, counts at once.
    """
    wrong = {node_of(problem) for problem in errors(loaded.problems)}
    if report is not None:
        wrong |= {node_of(problem) for problem in errors(report.problems)}
    planned = report.nodes if report is not None else {}
    found = {}
    for name, spec in loaded.graph.nodes.items():
        bound = loaded.bound.get(name)
        if name in wrong:
            found[name] = Mark("error")
        elif spec.disabled:
            found[name] = Mark("disabled")
        elif name in planned and planned[name].state != "disabled":
            found[name] = Mark(STATES.get(planned[name].state, "unknown"), counted(planned[name]))
        else:
            found[name] = Mark("light" if bound is not None and bound.type.light else "unknown")
    return found


def counted(node: NodePlan) -> str:
    """Return how many items a node has or still has to compute: `24 items`, `3 of 24`; "" where it has none."""
    if node.state == "not asked":
        return "not asked yet"
    if not node.per_item or node.total is None or node.state not in ("reused", "will run"):
        return ""
    if node.state == "will run" and node.missing < node.total:
        return f"{node.missing:,} of {node.total:,}"
    return f"{node.total:,} item{'' if node.total == 1 else 's'}"
