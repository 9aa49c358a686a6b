"""One execution of a plan: fetch, compute what is wanted and missing, record it, export the outputs.

    run
      fetch what loading needs and this machine lacks
      until nothing wanted is left:
        choose a ready node (topological; first those that use what is loaded)
        release the models it does not use
        claim its key; look again (another process may have computed it); compute what is missing; publish
        advance the plan: light nodes below, keys, what the store has
      export outputs, make the summary

A node that fails ends what depends on it; independent nodes still finish.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vflow.engine import disk, events, fetching
from vflow.engine.beside import Beside
from vflow.engine.carried import Carrying
from vflow.engine.computing import Computing
from vflow.engine.contexts import World
from vflow.engine.failures import in_words
from vflow.engine.lending import Lender, recipes_in
from vflow.engine.plan import Plan
from vflow.engine.problems import Failure, GraphError, Interrupted, Problem, Transient, VflowError, errors
from vflow.engine.publishing import Publisher
from vflow.engine.steps import Step
from vflow.engine.store import Damaged
from vflow.engine.tally import Tally
from vflow.engine.values import Blob, Recipe, blobs_of

_PATIENCE = 0.25  # seconds that a light node may take before the next heavy one goes first
_AGAIN = 3  # times that damaged results of one node are computed again: then it is the disk
_RETRIES = (1.0, 4.0, 15.0)  # seconds between attempts at what touches the network


@dataclass
class Outcome:
    """How a run ended. `failures` say what went wrong, in words; `files` are the exported outputs."""

    status: str
    seconds: float
    saved_seconds: float
    failures: list[Problem]
    files: dict[str, list[str]]
    summary: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Aside:
    """What goes along with a run: steps that it fetches models for but leaves alone, and who is told what is done.

    `computed` is called with each step that was computed, while its models are still there.
    """

    steps: Sequence[Step] = ()
    fetched: Callable[[], None] = lambda: None
    computed: Callable[[Step], None] = lambda _step: None


class Run:
    """Executes a plan that has been advanced and checked."""

    def __init__(self, plan: Plan, world: World, aside: Aside | None = None) -> None:
        self.plan, self.world, self._aside = plan, world, aside or Aside()
        self._lender = world.lender = Lender()
        self._publisher = Publisher(world.store)
        self._tally = Tally()
        self._failures: list[Problem] = []
        self._taken_back: Counter[str] = Counter()  # node -> how often its results were found damaged
        self._started = time.time()

    def execute(self) -> Outcome:
        """Run until nothing can be done any more, or until asked to stop. Never raises for what a node does."""
        if not self.plan.pending():
            return self._execute()
        with disk.watched(self.world):
            return self._execute()

    def _execute(self) -> Outcome:
        interrupted, files = False, {}
        try:
            if self.world.store.remote is not None:
                self.world.store.remote.resume()
            self._note_decided()
            self._fetch()
            files = self._to_the_end()
        except (Interrupted, KeyboardInterrupt):
            interrupted = True
            if self.world.stop.because is not None:
                self._fail(self.world.stop.because)
        except VflowError as error:
            self._fail(error)
        finally:
            error_of_last = self._publisher.close()
            if isinstance(error_of_last, Exception):
                self._fail(error_of_last)
            self._lender.keep_only(set())
        return self._finish("interrupted" if interrupted else "failed" if self._failures else "done", files)

    def _to_the_end(self) -> dict[str, list[str]]:
        """Compute until nothing more can be, then export; what is found damaged then is computed once more."""
        self.plan.beside = Beside()
        while True:
            while (name := self._next()) is not None:
                self._check_stop()
                self._compute(self.plan.steps[name])
                self._note_decided()
            self._lender.keep_only(set())
            self._publisher.flush()
            self._check_done()
            try:
                return self._export()
            except Damaged as error:
                if not self._take_back(error, ()):
                    raise

    def _next(self) -> str | None:
        """Return the node to compute next; None when there is none.

        Light nodes that wait for results run in threads. Quick ones are waited for, since what stands behind them may
        use the model that is loaded; slow ones run beside the next node, if there is any.
        """
        while True:
            self.plan.take_in(_PATIENCE)
            self._note_decided()
            name = self.plan.ready.take(self._lender.open_bases)
            beside = self.plan.beside
            if name is not None or beside is None or not beside.busy:
                return name
            self._check_stop()
            self.plan.take_in(0.0, longest=_PATIENCE)

    # --- nodes -----------------------------------------------------------------------------------------------------

    def _compute(self, step: Step) -> None:
        """Compute a node; a failure is kept and ends only what depends on the node, unless it is final."""
        inputs = self.plan.inputs_of(step)
        if step.node.per_item:  # with the items that the node itself adds
            inputs[step.node.per_item] = step.inputs[step.node.per_item]
        try:
            self._check_ready(step, inputs)
            self._lender.keep_only(step.bases)
            self.world.store.bring(blobs_of(inputs), lambda: self.world.stopping)
            computing = Computing(self.plan, self.world, self._tally, self._publisher, step)
            output = self._retrying(step, lambda: computing.output(inputs))
            self.plan.finish(step, output)
        except BaseException as error:
            if not (isinstance(error, Damaged) and self._take_back(error, blobs_of(inputs))):
                self._end(step, in_words(error, step, self.world.folder))
        else:
            self._aside.computed(step)

    def _take_back(self, error: Damaged, beside: Iterable[Blob]) -> bool:
        """Have a damaged result computed again, with all that is damaged beside it; False where that is no way out."""
        damaged = {error.blob.digest, *self.world.store.damaged(beside)}
        makers = self.plan.lose(damaged)
        self._note_decided()
        for step in makers:
            self._taken_back[step.name] += 1
            self._emit(events.Log(node=step.name, level="warning", message=f"{error.message}; computing it again"))
        return bool(makers) and all(self._taken_back[step.name] <= _AGAIN for step in makers)

    def _end(self, step: Step, error: BaseException) -> None:
        """End a node that raised: keep what it said if others may go on, else raise it."""
        stopped = not isinstance(error, VflowError) or isinstance(error, Interrupted)
        state: events.NodeState = "interrupted" if stopped else "failed"
        self._tally.broken[step.name] = state
        self._emit(self._tally.finished(step, state))
        if stopped:
            raise error
        self._fail(error, step)
        step.state = "failed"
        if isinstance(error, Failure) and error.final:
            raise Interrupted

    def _check_done(self) -> None:
        if not self._failures and (left := [step.name for step in self.plan.pending()]):
            raise Failure(f"not everything could be computed: {', '.join(left)}", "run again, and please report this")

    def _check_ready(self, step: Step, inputs: dict[str, Any]) -> None:
        """Ask once more what is wrong, now that all inputs are there."""
        before = len(self.plan.problems)
        self.plan.preflight_one(step, inputs)
        if wrong := errors(self.plan.problems[before:]):
            raise GraphError(wrong)

    def _note_decided(self) -> None:
        """Say of every node that was decided since whether it is reused; what a light node found wrong is a failure."""
        for step in self.plan.decided():
            if step.state == "reused":
                self._tally.note_reused(step, step.total)
                self._emit(self._tally.finished(step, "reused"))
            elif step.state == "failed":
                self._tally.broken[step.name] = "failed"
        if wrong := errors(self.plan.take_problems()):
            self._failures += wrong
        if self.world.store.remote is not None:
            self._warn(self.world.store.remote.take_notices())

    # --- around the nodes ------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        """Bring what loading needs to this machine, before anything heavy starts."""
        for step in (*self.plan.pending(), *self._aside.steps):
            context = self.world.context_for(step)
            for recipe in needed_recipes(self.plan, step):
                if not recipe.is_fetched(context):
                    self._check_stop()
                    self._fetch_one(step, recipe)
        self._aside.fetched()

    def _fetch_one(self, step: Step, recipe: Recipe) -> None:
        context, started = self.world.context_for(step), time.monotonic()
        what, size = ", ".join(recipe.files_needed()), recipe.bytes_to_fetch(context)
        self._emit(events.Log(message=f"fetching {what}"))

        def say_waiting(holder: str) -> None:
            self._emit(events.Log(message=f"another process fetches {what} ({holder}); waiting for it"))

        def call() -> bool:
            return fetching.fetch(recipe, context, self.world.store, say_waiting, lambda: self.world.stopping)

        try:
            fetched = self._retrying(step, call)
        except BaseException as error:
            self._end(step, in_words(error, step, self.world.folder))
            raise Interrupted from error  # a run that lacks a model does not begin
        if fetched:
            self._emit(events.Fetched(what=what, bytes=size, seconds=time.monotonic() - started))

    def _retrying(self, step: Step, call: Callable[[], Any]) -> Any:
        """Call; what fails for a reason that may pass is tried again, a little later each time."""
        for pause in _RETRIES:
            try:
                return call()
            except Transient as error:
                self._check_stop()
                self._emit(events.Log(node=step.name, level="warning", message=f"{error.message}; trying again"))
                with self.world.stop.at_once():
                    time.sleep(pause)
        return call()

    def _export(self) -> dict[str, list[str]]:
        files: dict[str, list[str]] = {}
        folder, carrying = self.world.folder, Carrying(self.plan, self.world)
        assert folder is not None
        outputs = {}
        for name, link in self.plan.loaded.outputs.items():
            if self.plan.steps[link.node].state in ("light", "reused", "computed"):
                outputs[name] = self.plan.value_of(link.node, link.output)
        self.world.store.bring(blobs_of(outputs), lambda: self.world.stopping)
        for name, output in outputs.items():
            files[name] = [str(path) for path in folder.export(name, output, self.world, carrying)]
        return files

    def _check_stop(self) -> None:
        if self.world.stopping:
            raise Interrupted("interrupted; what was finished is kept")

    def _emit(self, event: events.Event) -> None:
        self.world.emit(event)

    def _warn(self, said: list[str]) -> None:
        for text in said:
            self._emit(events.Log(level="warning", message=text))

    def _fail(self, error: BaseException, step: Step | None = None) -> None:
        if isinstance(error, GraphError):
            found = list(error.problems)
        else:
            words = (error.message, error.remedy) if isinstance(error, Failure) else (str(error),)
            found = [Problem(*words)]
        placed = [self.plan.loaded.place(problem, step.name) if step else problem for problem in found]
        self._failures += placed
        for problem in placed:
            self._emit(events.Log(node=step.name if step else "", level="error", message=str(problem)))

    def _finish(self, status: Any, files: dict[str, list[str]]) -> Outcome:
        status = "failed" if self._failures else status
        if self.world.store.remote is not None:
            self._warn(self.world.store.remote.finish(waiting=status != "interrupted"))
        seconds, saved = time.time() - self._started, self._tally.saved_seconds
        self._emit(events.RunFinished(status=status, seconds=seconds, saved_seconds=saved))
        said = "; ".join(str(problem) for problem in self._failures)
        summary = self._tally.summary(self.plan.steps.values(), status, seconds, said)
        if self.world.why is not None:
            self.world.why.ended()
        return Outcome(status, seconds, saved, self._failures, files, summary)


def needed_recipes(plan: Plan, step: Step) -> Iterator[Recipe]:
    """Yield the recipes known at a pending step's ports, each base once."""
    seen: set[str] = set()
    for value in plan.inputs_of(step).values():
        for recipe in recipes_in(value):
            if recipe.base is not None and recipe.base not in seen:
                seen.add(recipe.base)
                yield recipe
