"""What the loop says while it trains: progress, metrics, and losses that are no numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from vflow.engine.context import Context
from vflow.engine.following.run import memory_of
from vflow.engine.problems import Failure
from vflow.engine.store import owners
from vflow.nodes.models.memory import GIB
from vflow.nodes.training.board import Board
from vflow.nodes.training.samples import Planned, Sample, named

if TYPE_CHECKING:
    from vflow.nodes.training.train_loop import TrainLoop

_PROGRESS_SECONDS = 0.1


@dataclass
class _Figures:
    """Losses that were read from the device, one for each sample: what is trained on, and those of the two streams.

    `video` has one for each sample too; the loss of a silent one is that of its video.
    """

    loss: list[float] = field(default_factory=list)
    video: list[float] = field(default_factory=list)
    audio: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, notes: Mapping[str, Any]) -> _Figures:
        """Read what `notes` wrote."""
        loss = list(notes.get("window", ()))
        streams = notes.get("streams", {"video": loss, "audio": ()})
        return cls(loss, list(streams["video"]), list(streams["audio"]))

    def notes(self) -> dict[str, Any]:
        """Return them as plain data."""
        streams = {"streams": {"video": self.video, "audio": self.audio}} if self.audio else {}
        return {"window": self.loss, **streams}

    def add(self, totals: Sequence[Sequence[float]], given: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Take the losses of some micro-steps, of which `totals` were read already."""
        for total, losses in zip(totals, given, strict=True):
            self.loss += total
            self.video += losses["loss_video"].tolist() if "loss_audio" in losses else total
            self.audio += losses["loss_audio"].tolist() if "loss_audio" in losses else []

    def followed_by(self, others: _Figures) -> _Figures:
        """Return both together."""
        return _Figures(self.loss + others.loss, self.video + others.video, self.audio + others.audio)

    def means(self) -> dict[str, float]:
        """Return the means by the names of their metrics, of the streams only where there is sound."""
        found = {"train/loss": self.loss}
        if self.audio:
            found |= {"train/loss_video": self.video, "train/loss_audio": self.audio}
        return {name: sum(values) / len(values) for name, values in found.items()}


class Reporter:
    """Collects the losses of steps, and reads them from the device only when somebody is told."""

    def __init__(self, node: TrainLoop, context: Context, samples: Sequence[Sample]) -> None:
        self._node, self._context, self._samples = node, context, samples
        self._board = Board(context.run_folder("tensorboard")) if node.tensorboard else None
        self._unread: list[tuple[Planned, Mapping[str, torch.Tensor]]] = []
        self._loss, self._told = math.nan, 0.0
        self._window = _Figures()  # losses since the last regular entry that were read before
        self._final: dict[str, float] = {}
        self.owed = False  #: an evaluation that was left because the run was stopping
        self._start()

    def note(self, planned: Planned, losses: Mapping[str, torch.Tensor]) -> None:
        """Take the losses of one micro-step, as `Losses.named` gives them, on any device."""
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
        losses = torch.stack([losses["loss"] for _, losses in self._unread]).cpu()
        if not torch.isfinite(losses).all():
            raise self._not_finite(losses)
        self._read.add(losses.tolist(), [losses for _, losses in self._unread])
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
        if not self._read.loss:
            return
        seconds, count = time.perf_counter() - self._began, len(self._read.loss)
        self._window = self._window.followed_by(self._read)
        means = self._window.means()
        self._loss = means["train/loss"]
        per_step = self._node.batch_size * self._node.accumulation
        self.metrics(
            step,
            {
                **means,
                "train/lr": lr,
                "train/grad_norm": float(norm),
                "train/seconds_per_step": seconds * per_step / count,
                "train/samples_per_second": count / seconds,
                **_memory(norm.device),
            },
        )
        if step % self._node.log_every == 0:  # the entry of a last step in between is none that a longer run has
            self._window = _Figures()
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
        notes: dict[str, Any] = {"final": final, **self._window.followed_by(self._read).notes()}
        return {**notes, "owed": True} if self.owed else notes

    def go_on_from(self, notes: Mapping[str, Any]) -> None:
        """Go on from a state, so that the next entry is the one of a training that was never stopped."""
        self._window, self._final = _Figures.of(notes), dict(notes.get("final", {}))
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
        self._read = _Figures()
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


def _memory(device: torch.device) -> dict[str, float]:
    """Return what is held now, in GiB by metric: of the card where there is one, of the host where that is seen."""
    found = {}
    if device.type == "cuda":
        found["train/gpu_memory"] = torch.cuda.memory_reserved(device) / GIB
    if (host := memory_of(owners.myself().name)) is not None:
        found["train/memory"] = host / GIB
    return found
