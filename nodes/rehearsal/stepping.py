"""Three steps of a training, and the same with a stop between: whether they go, what they take, and that bits agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import Interrupted
from vflow.engine.rehearsal import Check, Cost, failed, passed, skipped
from vflow.nodes.rehearsal.checking import Measured, guarded, measured
from vflow.nodes.rehearsal.subject import REPORT, Subject, in_words
from vflow.nodes.training import checkpoints, loop
from vflow.nodes.training.settings import ScheduleSettings

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.nodes.training.train_loop import TrainLoop
    from vflow.nodes.values import Learned

STEPS = 3
_STOPPED_AFTER = 2
#: what trains has to move far enough within three steps to be seen in bfloat16
_LEAST_RATE = 1e-3


class Stepping:
    """Trains a subject for three steps; `result` is what they gave, None where they did not go."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self._whole = subject, subject.context.apart("whole")
        self.result: Learned | None = None

    def checks(self) -> Iterator[Check]:
        """Train, then train with a stop between."""
        context = self._subject.context
        yield from guarded("first steps", context, self._first_steps())
        if self.result is not None:
            yield from guarded("resume", context, self._resume(self.result))

    def put_into(self, live: Any) -> None:
        """Give a lent transformer, on which the same trains, the weights with which the three steps ended."""
        tensors = checkpoints.states(self._whole.work)[-1].tensors() or {}
        for name, parameter in live.modules()["transformer"].named_parameters():
            if (trained := tensors.get(f"weight/{name}")) is not None:
                parameter.data = trained.to(parameter.device)

    def _first_steps(self) -> Iterator[Check]:
        context = self._whole
        with measured(self._subject.device) as found:
            result = self._train(context)
        figures = [values for _, values in context.measured if "train/loss" in values]
        if not all(values["train/grad_norm"] > 0 for values in figures):
            told = "no gradient reaches what trains"
            yield failed("first steps", told, "choose other layers: `target` or `pattern` of what trains")
            return
        self.result = result
        pace = [values["train/seconds_per_step"] for values in figures[1:]]  # the first includes what happens once
        losses = ", ".join(f"{values['train/loss']:.3g}" for values in figures)
        told = f"losses {losses} at {self._subject.size}"
        yield passed("first steps", told, self._cost(context, result, sum(pace) / len(pace), found))

    def _resume(self, whole: Learned) -> Iterator[Check]:
        def after_two(context: RehearsalContext) -> bool:
            return any(step >= _STOPPED_AFTER for step, _ in context.measured)

        stopping = self._subject.context.apart("stopped", after_two)
        try:
            self._train(stopping)
        except Interrupted:
            if stopping.interrupted_by_user:
                raise
        going_on = self._subject.context.apart("stopped")
        result = self._train(going_on)
        if not going_on.measured or going_on.measured[0][0] != _STOPPED_AFTER + 1:
            yield failed("resume", "a training that was stopped began anew", REPORT)
        elif result.identity == whole.identity:
            yield passed("resume", f"stopped after {_STOPPED_AFTER} steps and gone on: the same bits")
        elif self._train(self._subject.context.apart("again")).identity != whole.identity:
            yield skipped("resume", "this device is not deterministic: the same steps twice end with other bits")
        else:
            yield failed("resume", "stopped and gone on, it ends with other bits than without a stop", REPORT)

    def _train(self, context: RehearsalContext) -> Learned:
        given = self._subject.inputs
        given = loop.Inputs(given.transformer, given.latents, given.captions, images=given.images, audio=given.audio)
        return loop.run(self._short(), context, given)

    def _short(self) -> TrainLoop:
        """Return the node as it is rehearsed: three steps at a rate that shows, nothing watched."""
        node = self._subject.node
        rate = max(node.optimizer.lr, _LEAST_RATE)
        return node.model_copy(
            update={
                "steps": STEPS,
                "optimizer": node.optimizer.model_copy(update={"lr": rate}),
                "schedule": ScheduleSettings(),
                "evaluation": node.evaluation.model_copy(update={"every": 0}),
                "checkpoint_every": 0,
                "sample_every": 0,
                "log_every": 1,
                "tensorboard": False,
            }
        )

    def _cost(self, context: RehearsalContext, result: Learned, seconds: float, found: Measured) -> Cost:
        """Return what the whole training takes, from what three steps took and left."""
        node = self._subject.node
        kept = node.steps // node.checkpoint_every if node.checkpoint_every else 0
        states = min(kept, node.checkpoint_limit) if node.checkpoint_limit else kept
        size = sum(file.stat().st_size for file in context.work.rglob("*") if file.is_file())
        size += sum(blob.size for _, blob in result.plain_files())
        memory = ", ".join(f"{peak / 2**30:.1f} GiB on the {device}" for device, peak in sorted(found.peaks.items()))
        pace = f"{in_words(seconds)} per step, {memory}"
        return Cost(seconds * node.steps, size * (states + 1), found.peaks, pace)
