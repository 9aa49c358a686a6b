"""One execution of a plan: fetch, compute what is wanted and missing, record it, export the outputs.

run
  fetch what loading needs and this machine lacks
  until nothing wanted is left:
    choose a ready node (topological; first those that use what is loaded)
    release the models it does not use
    claim its key; look again (another process may have computed it); compute what is missing; record
    advance the plan: light nodes below, keys, what the store has
  export outputs, write the summary
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vflow.engine import events, schedule
from vflow.engine.contexts import World
from vflow.engine.lending import Lender, recipes_in
from vflow.engine.plan import Plan
from vflow.engine.problems import Failure, GraphError, Interrupted, Problem, VflowError, errors
from vflow.engine.steps import Step, as_output
from vflow.engine.store import Record
from vflow.engine.tally import Tally
from vflow.engine.values import Item, Items, Recipe, blobs_of, identity_of, output_to_json


@dataclass
class Outcome:
    """How a run ended. `failure` says what went wrong, in words; `files` are the exported outputs."""

    status: str
    seconds: float
    saved_seconds: float
    failure: Problem | None
    files: dict[str, list[str]]
    summary: dict[str, Any]


class Run:
    """Executes a plan that has been advanced and checked."""

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan, self.world = plan, world
        self._lender = world.lender = Lender()
        self._tally = Tally()
        self._noted: set[str] = set()
        self._started = time.time()

    def execute(self) -> Outcome:
        """Run to the end, to the first failure, or until asked to stop. Never raises for what a node does."""
        status, failure, files = "done", None, {}
        self._note_reused()
        try:
            self._fetch()
            while ready := self.plan.ready():
                self._check_stop()
                self._compute(self._choose(ready))
                self._note_reused()
                if wrong := errors(self.plan.problems):
                    raise GraphError(wrong)
            self._lender.keep_only(set())
            files = self._export()
        except (Interrupted, KeyboardInterrupt):
            status = "interrupted"
        except VflowError as error:
            status, failure = "failed", self._problem_of(error)
        finally:
            self._lender.keep_only(set())
        return self._finish(status, failure, files)

    # --- one node --------------------------------------------------------------------------------------------------

    def _choose(self, ready: list[Step]) -> Step:
        if len(ready) == 1:
            return ready[0]
        bases = {step.name: schedule.bases_of(self.plan.inputs_of(step)) for step in ready}
        order = {step.name: step.index for step in ready}
        return self.plan.steps[schedule.choose(bases, self._lender.open_bases, order)]

    def _compute(self, step: Step) -> None:
        inputs = self.plan.inputs_of(step)
        if step.node.per_item:  # with the items that the node itself adds
            inputs[step.node.per_item] = step.inputs[step.node.per_item]
        self._check_ready(step, inputs)
        self._lender.keep_only(schedule.bases_of(inputs))
        started = time.monotonic()
        try:
            with self.world.store.lease(step.work_key, self._say_waiting(step), lambda: self.world.stopping):
                self._look_again(step)
                if step.missing:
                    self._emit(events.NodeStarted(node=step.name, missing=step.missing, total=step.total))
                    output = self._run_items(step, inputs) if step.node.per_item else self._run_whole(step, inputs)
                else:
                    self.plan.adopt(step)
                    output = step.output
        except BaseException as error:
            stopped = isinstance(error, (Interrupted, KeyboardInterrupt))
            self._tally.broken = (step.name, "interrupted" if stopped else "failed")
            raise self._in_words(step, error) from error
        finally:
            self._tally.of(step).seconds = time.monotonic() - started
        self._noted.add(step.name)
        self._emit(self._tally.finished(step, "computed"))
        self.plan.finish(step, output)

    def _run_whole(self, step: Step, inputs: dict[str, Any]) -> Any:
        started = time.monotonic()
        context = self.world.context_for(step)
        given = {**dict.fromkeys(step.node.ports), **inputs}
        output = as_output(step.node, step.node.run(context, **given))  # type: ignore[attr-defined]
        recorded = _without_observed(step, output)
        self.world.store.publish(self._record(step, step.key, recorded, time.monotonic() - started))
        self._tally.of(step).computed = 1
        return self.plan.with_observed(step, recorded)

    def _run_items(self, step: Step, inputs: dict[str, Any]) -> Any:
        port = step.node.per_item
        rows = {value.identity: row for row, value in reversed(list(inputs[port].items()))}
        missing = step.missing_items(inputs[port])
        given = {**dict.fromkeys(step.node.ports), **inputs}
        given[port] = Items(Item(rows[value.identity], value) for value in missing)
        context = self.world.context_for(step)
        results: Iterator[Any] = step.node.run(context, **given)  # type: ignore[attr-defined]
        started = time.monotonic()
        for value in missing:
            result = next(results, None)
            if result is None:
                raise Failure(f"{type(step.node).__name__} yielded fewer results than it was given items")
            now = time.monotonic()
            record = self._record(step, step.item_keys[value.identity], result, now - started)
            self.world.store.publish(record)
            step.records[record.key] = record
            self._tally.of(step).computed += 1
            row = rows[value.identity]
            label = self.world.labels.get(row, row)
            self._emit(events.ItemFinished(node=step.name, item=value.identity, label=label, seconds=now - started))
            started = now
            if self.world.stopping:
                results.close()  # type: ignore[attr-defined]
                raise Interrupted("interrupted; finished items are kept")
        next(results, None)  # let it hand back what it was lent
        self.plan.adopt(step)
        return step.output

    def _look_again(self, step: Step) -> None:
        """See whether another process, or an equal node of this graph, has computed it meanwhile."""
        mine = list(step.item_keys.values()) if step.node.per_item else [step.key]
        if step.reason != "forced":
            step.records = self.world.store.lookup(mine)
        self._tally.note_reused(step, sum(key in step.records for key in mine))

    def _record(self, step: Step, key: str, output: Any, seconds: float) -> Record:
        inputs = {port: identity_of(value) for port, value in step.inputs.items() if value is not None}
        return Record(
            key=key,
            node_type=type(step.node).__name__,
            version=step.node.version,
            output=output_to_json(output),
            blobs=tuple({blob.digest: blob for blob in blobs_of(output)}.values()),
            seconds=seconds,
            created=time.time(),
            environment=_environment(step),
            facts=step.facts,
            settings=step.node.key_settings(),
            inputs=inputs,
            graph=self.plan.loaded.graph.name,
            node=step.name,
        )

    # --- around the nodes ------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        """Bring what loading needs to this machine, before anything heavy starts."""
        for step in self.plan.pending():
            context = self.world.context_for(step)
            for recipe in needed_recipes(self.plan, step):
                if recipe.is_fetched(context):
                    continue
                self._check_stop()
                started = time.monotonic()
                size = recipe.bytes_to_fetch(context)
                self._tally.broken = (step.name, "failed")
                try:
                    recipe.fetch(context)
                except BaseException as error:
                    raise self._in_words(step, error) from error
                self._tally.broken = None
                what = ", ".join(recipe.files_needed())
                self._emit(events.Fetched(what=what, bytes=size, seconds=time.monotonic() - started))

    def _export(self) -> dict[str, list[str]]:
        files: dict[str, list[str]] = {}
        folder = self.world.folder
        assert folder is not None
        for name, link in self.plan.loaded.outputs.items():
            step = self.plan.steps[link.node]
            if step.known and step.state != "run" and step.wanted:
                output = self.plan.value_of(link.node, link.output)
                files[name] = [str(path) for path in folder.export(name, output, self.world)]
        return files

    def _check_ready(self, step: Step, inputs: dict[str, Any]) -> None:
        """Ask once more what is wrong, now that all inputs are there."""
        before = len(self.plan.problems)
        self.plan.preflight_one(step, inputs)
        if wrong := errors(self.plan.problems[before:]):
            raise GraphError(wrong)

    def _check_stop(self) -> None:
        if self.world.stopping:
            raise Interrupted("interrupted; what was finished is kept")

    def _say_waiting(self, step: Step) -> Any:
        return lambda holder: self._emit(
            events.Log(node=step.name, message=f"another process computes this ({holder}); waiting for its result")
        )

    def _emit(self, event: events.Event) -> None:
        self.world.emit(event)

    def _note_reused(self) -> None:
        """Say of every node that was decided since what it is."""
        for step in self.plan.steps.values():
            if step.state == "reused" and step.name not in self._noted:
                self._noted.add(step.name)
                self._tally.note_reused(step, step.total)
                self._emit(self._tally.finished(step, "reused"))

    def _in_words(self, step: Step, error: BaseException) -> BaseException:
        """Turn what a node raised into a failure in words; the traceback goes to the run's folder."""
        if isinstance(error, (VflowError, KeyboardInterrupt, SystemExit)):
            return error
        self._keep_traceback(error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Failure("the disk is full", "free space, or put the store elsewhere with --cache DIR")
        for remedy in _remedies():
            if found := remedy(error, step):
                return Failure(*found)
        text = str(error).strip().split("\n")[0] or type(error).__name__
        where = f"the traceback is in {self.world.folder.path / 'traceback.txt'}" if self.world.folder else ""
        return Failure(f"{type(error).__name__}: {text}", where)

    def _keep_traceback(self, error: BaseException) -> None:
        import contextlib
        import traceback

        if self.world.folder is not None:
            with contextlib.suppress(OSError):
                text = "".join(traceback.format_exception(error))
                (self.world.folder.path / "traceback.txt").write_text(text, encoding="utf-8")

    def _problem_of(self, error: VflowError) -> Problem:
        if isinstance(error, GraphError):
            return error.problems[0]
        problem = Problem(*((error.message, error.remedy) if isinstance(error, Failure) else (str(error),)))
        return self.plan.loaded.place(problem, self._tally.broken[0]) if self._tally.broken else problem

    def _finish(self, status: Any, failure: Problem | None, files: dict[str, list[str]]) -> Outcome:
        seconds, broken = time.time() - self._started, self._tally.broken
        if broken and status != "done":
            self._emit(self._tally.finished(self.plan.steps[broken[0]], broken[1]))
        if failure is not None:
            self._emit(events.Log(node=broken[0] if broken else "", level="error", message=str(failure)))
        self._emit(events.RunFinished(status=status, seconds=seconds, saved_seconds=self._tally.saved_seconds))
        summary = self._tally.summary(self.plan.steps.values(), status, seconds, str(failure or ""))
        return Outcome(status, seconds, self._tally.saved_seconds, failure, files, summary)


def needed_recipes(plan: Plan, step: Step) -> Iterator[Recipe]:
    """Yield the recipes known at a pending step's ports, each base once."""
    seen: set[str] = set()
    for value in plan.inputs_of(step).values():
        for recipe in recipes_in(value):
            if recipe.base is not None and recipe.base not in seen:
                seen.add(recipe.base)
                yield recipe


def _without_observed(step: Step, output: Any) -> Any:
    if not isinstance(output, dict):
        return output
    return {name: value for name, value in output.items() if not step.node.outputs[name].observed}


def _environment(step: Step) -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, Any] = {}
    for package in ("vflow", "torch", "diffusers", "transformers", "peft"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, **step.node.placed()}


def _remedies() -> Iterator[Any]:
    from vflow.engine.registry import hooks

    for _, load in hooks("vflow.remedies"):
        yield load()
