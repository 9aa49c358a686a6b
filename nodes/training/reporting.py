"""What the loop says while it trains: progress, metrics, and losses that are no numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from vflow.engine.context import Context
from vflow.engine.problems import Failure
from vflow.nodes.training.board import Board
from vflow.nodes.training.samples import Planned, Sample, named

if TYPE_CHECKING:
    from vflow.nodes.training.train_loop import TrainLoop

_PROGRESS_SECONDS = 0.1


class Reporter:
    """Collects the losses of steps, and reads them from the device only when somebody is told."""

    def __init__(self, node: TrainLoop, context: Context, samples: Sequence[Sample]) -> None:
        self._node, self._context, self._samples = node, context, samples
        self._board = Board(context.run_folder("tensorboard")) if node.tensorboard else None
        self._unread: list[tuple[Planned, torch.Tensor]] = []
        self._loss, self._told = math.nan, 0.0
        self._window: list[float] = []  # losses since the last regular entry that were read before
        self._final: dict[str, float] = {}
        self.owed = False  #: an evaluation that was left because the run was stopping
        self._start()

    def note(self, planned: Planned, losses: torch.Tensor) -> None:
        """Take the losses of one micro-step, (B,), on any device."""
        self._unread.append((planned, losses))

    def drop(self, count: int) -> None:
        """Forget the last micro-steps that were noted: their step is not finished."""
        del self._unread[len(self._unread) - count :]

    def check(self) -> None:
        """Read the losses that were noted.

        Raises:
            Failure: one is not finite; names its samples.
        """
        if not self._unread:
            return
        losses = torch.stack([losses for _, losses in self._unread]).cpu()
        if not torch.isfinite(losses).all():
            raise self._not_finite(losses)
        self._read += losses.flatten().tolist()
        self._unread.clear()

    def tell(self, step: int) -> None:
        """Say how far the training is, now and then: at the first step of this run, and ten times a second."""
        moment = time.perf_counter()
        if step == self._node.steps or moment - self._told > _PROGRESS_SECONDS:
            self._told = moment
            figures = {} if math.isnan(self._loss) else {"loss": self._loss}
            self._context.progress(step, self._node.steps, "step", **figures)

    def write_metrics(self, step: int, lr: float, norm: torch.Tensor) -> None:
        """Write the metrics since the last regular time: means of loss and time, the last rate and norm."""
        self.check()
        if not self._read:
            return
        seconds, count = time.perf_counter() - self._began, len(self._read)
        self._window += self._read
        self._loss = sum(self._window) / len(self._window)
        per_step = self._node.batch_size * self._node.accumulation
        self.metrics(
            step,
            {
                "train/loss": self._loss,
                "train/lr": lr,
                "train/grad_norm": float(norm),
                "train/seconds_per_step": seconds * per_step / count,
                "train/samples_per_second": count / seconds,
            },
        )
        if step % self._node.log_every == 0:  # the entry of a last step in between is none that a longer run has
            self._window = []
        self._start()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Write metrics of a step: to the run's events and to TensorBoard."""
        if self._final.get("step") != step:
            self._final = {"step": step}
        self._final |= {name: value for name, value in values.items() if name.startswith(("train/loss", "eval/"))}
        self._context.metrics(step, values)
        if self._board:
            self._board.scalars(step, values)

    def notes(self, step: int) -> dict[str, Any]:
        """Return what is kept with the state of a step: its figures, and the losses of which the next entry is made."""
        self.check()
        final = self._final if self._final.get("step") == step else {}
        notes: dict[str, Any] = {"final": final, "window": [*self._window, *self._read]}
        return {**notes, "owed": True} if self.owed else notes

    def go_on_from(self, notes: Mapping[str, Any]) -> None:
        """Go on from a state, so that the next entry is the one of a training that was never stopped."""
        self._window, self._final = list(notes.get("window", ())), dict(notes.get("final", {}))
        self.owed = bool(notes.get("owed"))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave what is done inside out of the time per step."""
        began = time.perf_counter()
        yield
        self._began += time.perf_counter() - began

    def close(self) -> None:
        """Write out what is buffered."""
        if self._board:
            self._board.close()

    def _start(self) -> None:
        self._read: list[float] = []
        self._began = time.perf_counter()

    def _not_finite(self, losses: torch.Tensor) -> Failure:
        for (planned, _), row in zip(self._unread, losses.tolist(), strict=True):
            wrong = [i for i, loss in zip(planned.indices, row, strict=True) if not math.isfinite(loss)]
            if wrong:
                break
        step = planned.micro_step // self._node.accumulation + 1
        names = named(sorted({self._samples[i].row for i in wrong}), self._context)
        return Failure(
            f"the loss of step {step} is not a finite number, for {names}",
            "lower optimizer.lr, set clip_norm, or look at these clips; the last checkpoint is kept",
        )
