"""Computing one node: claim its key, look again, run what is missing, publish."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from vflow.engine import events
from vflow.engine.environment import environment_of
from vflow.engine.problems import Failure, Interrupted
from vflow.engine.steps import Step, as_output
from vflow.engine.store import Lease, Record
from vflow.engine.values import Item, Items, Value, blobs_of, identity_of, output_to_json

if TYPE_CHECKING:
    from vflow.engine.contexts import World
    from vflow.engine.plan import Plan
    from vflow.engine.publishing import Publisher
    from vflow.engine.tally import Tally


_LONG = 1.0  # seconds of work below which no claim can have been lost: it takes ten to be taken for dead


class Computing:
    """One node of a run, with all its inputs there."""

    _lease: Lease

    def __init__(self, plan: Plan, world: World, tally: Tally, publisher: Publisher, step: Step) -> None:
        self.plan, self.world, self.publisher, self.step = plan, world, publisher, step
        self.count = tally.of(step)
        self._finished = lambda: world.emit(tally.finished(step, "computed" if self.count.computed else "reused"))

    def output(self, inputs: dict[str, Any]) -> Any:
        """Return the node's output, computed here or found after waiting for another process.

        Raises:
            Failure: the node, or writing its results, failed.
            Interrupted: the run is stopping.
        """
        step, started = self.step, time.monotonic()
        self.publisher.settle(step.work_key)  # an equal node of this graph may hold the claim until it is durable
        with ExitStack() as held:
            lease = self.world.store.lease(step.work_key, self._say_waiting, lambda: self.world.stopping)
            self._lease = held.enter_context(lease)
            try:
                self._look_again()
                if not step.missing:
                    output = self.plan.recorded(self.step)
                else:
                    if step.name in self.plan.forced:
                        self.world.store.renew_work(step.work_key)
                    reason = self.world.why.begun(step) if self.world.why else ""
                    some = {"missing": step.missing, "total": step.total}
                    self._emit(events.NodeStarted(node=step.name, **some, reason=reason))
                    output = self._items(inputs) if step.node.per_item else self._whole(inputs, held.pop_all())
            finally:
                self.count.seconds = time.monotonic() - started
            if step.node.per_item or not step.missing:  # else it is announced once it is durable
                self.publisher.flush()
                self._finished()
        return output

    def _whole(self, inputs: Mapping[str, Any], claim: ExitStack) -> Any:
        """Run a whole node. Its claim is given up once the result is durable, which may be later."""
        step, started = self.step, time.monotonic()
        try:
            output = as_output(step.node, step.node.run(self.world.context_for(step), **self._given(inputs)))
            recorded, seconds = _without_observed(step, output), time.monotonic() - started
            if self._was_overtaken(seconds):
                with claim:
                    return self.plan.recorded(self.step)
            record = self._record(step.key, recorded, seconds, {})
        except BaseException:
            claim.close()
            raise

        def announce() -> None:
            self.count.computed, self.count.seconds = 1, seconds
            self._finished()

        self.publisher.add(record, announce, claim.close, step.work_key)
        return self.plan.with_observed(step, recorded)

    def _was_overtaken(self, seconds: float) -> bool:
        """Tell whether this process stalled for so long that another took it for dead, and has finished the node."""
        if seconds < _LONG or self._lease.owned:
            return False
        self._look_again()
        return not self.step.missing

    def _items(self, inputs: Mapping[str, Any]) -> Any:
        step, port = self.step, self.step.node.per_item
        missing = step.missing_items(inputs[port])
        lacking = {value.identity for value in missing}
        rows: dict[str, str] = {}  # the first row of each, where one value stands in several
        for row, value in inputs[port].items():
            if value.identity in lacking:
                rows.setdefault(value.identity, row)
        given = {**self._given(inputs), port: Items(Item(rows[value.identity], value) for value in missing)}
        results: Iterator[Any] = step.node.run(self.world.context_for(step), **given)
        try:
            for value in missing:
                self._item(value, rows[value.identity], results)
                if self.world.stopping:
                    raise Interrupted("interrupted; finished items are kept")
            next(results, None)  # let it hand back what it was lent
        finally:
            results.close()  # type: ignore[attr-defined]
            self.publisher.settle()  # the claim is given up only when what was finished is durable
        return self.plan.recorded(self.step)

    def _item(self, value: Value, row: str, results: Iterator[Any]) -> None:
        step, started = self.step, time.monotonic()
        result = next(results, None)
        if result is None:
            raise Failure(f"{type(step.node).__name__} yielded fewer results than it was given items")
        seconds = time.monotonic() - started
        record = self._record(step.item_keys[value.identity], result, seconds, {step.node.per_item: value.identity})
        step.records[record.key] = record
        label = self.world.labels.get(row, row)
        said = events.ItemFinished(node=step.name, item=value.identity, label=label, seconds=seconds)

        def announce() -> None:
            self.count.computed += 1
            self._emit(said)

        self.publisher.add(record, announce)

    def _look_again(self) -> None:
        """See whether another process, or an equal node of this graph, has computed it meanwhile."""
        step = self.step
        mine = list(step.item_keys.values()) if step.node.per_item else [step.key]
        if step.name not in self.plan.forced:
            for key in self.world.store.lacking(step.records):
                del step.records[key]
            # whoever held the claim gave it up only when its results were durable
            found = self.world.store.lookup([key for key in mine if key not in step.records])
            step.records |= self.plan.usable(step, found)
        self.count.reused, self.count.saved_seconds = sum(key in step.records for key in mine), step.saved_seconds

    def _record(self, key: str, output: Any, seconds: float, item: Mapping[str, str]) -> Record:
        step = self.step
        given = step.inputs.items()
        inputs = {port: identity_of(value) for port, value in given if value is not None and port not in item}
        return Record(
            key=key,
            node_type=type(step.node).__name__,
            version=step.node.version,
            output=output_to_json(output),
            blobs=tuple({blob.digest: blob for blob in blobs_of(output)}.values()),
            seconds=seconds,
            created=time.time(),
            environment=environment_of(step),
            facts=step.facts,
            settings=step.node.key_settings(),
            inputs=inputs,
            item=item,
            graph=self.plan.loaded.graph.name,
            node=step.name,
            work=step.work_key,
        )

    def _given(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {**dict.fromkeys(self.step.node.ports), **inputs}

    def _say_waiting(self, holder: str) -> None:
        self._emit(events.NodeWaiting(node=self.step.name, holder=holder))
        message = f"another process computes this ({holder}); waiting for its result"
        self._emit(events.Log(node=self.step.name, message=message))

    def _emit(self, event: events.Event) -> None:
        self.world.emit(event)


def _without_observed(step: Step, output: Any) -> Any:
    if not isinstance(output, dict):
        return output
    return {name: value for name, value in output.items() if not step.node.outputs[name].observed}
