"""The loss on held-out samples, with noise and noise levels that are the same every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vflow.nodes.families.exchange import FlowOptions, Prediction
from vflow.nodes.training.draws import CountedDraws
from vflow.nodes.training.preparing import watching
from vflow.nodes.training.records import Records, moved
from vflow.nodes.training.settings import EvaluationSettings

if TYPE_CHECKING:
    from vflow.nodes.families.base import Family


@dataclass(frozen=True)
class Losses:
    """The losses of a batch's samples, each float32 (B,): of the two streams, and the sum that is trained on.

    `audio` is None where the batch is silent.
    """

    total: torch.Tensor
    video: torch.Tensor
    audio: torch.Tensor | None = None

    def named(self) -> dict[str, torch.Tensor]:
        """Return them by the names of their metrics, detached; those of the streams where there are two."""
        if self.audio is None:
            return {"loss": self.total.detach()}
        streams = {"loss_video": self.video.detach(), "loss_audio": self.audio.detach()}
        return {"loss": self.total.detach(), **streams}


def losses_of(said: Prediction, audio_weight: float) -> Losses:
    """Return the losses of a prediction; the sound's counts `audio_weight` times, and with 0 not at all."""
    video = sample_losses(said)
    if said.audio is None:
        return Losses(video, video)
    audio = sample_losses(said.audio)
    return Losses(video + audio_weight * audio if audio_weight > 0 else video, video, audio)


def sample_losses(said: Prediction) -> torch.Tensor:
    """Return the loss of one stream for each sample, float32 (B,): mean(error * weight) / mean(weight).

    The error is the squared difference.

    Where tokens are left out (weight 0), the loss is the mean over those that stay.
    """
    error = (said.prediction.float() - said.target.float()).square_()
    return (error * said.weight).mean(dim=(1, 2)) / said.weight.mean(dim=(1, 2))


def evaluate(
    family: Family,
    model: Any,
    records: Records,
    rows: Sequence[str],
    settings: EvaluationSettings,
    device: torch.device,
    stopping: Callable[[], bool] = lambda: False,
    audio_weight: float = 1.0,
) -> Mapping[str, float] | None:
    """Return `eval/loss`, and `eval/loss_<sigma>` for every noise level, as means over the samples.

    Where samples have sound, `eval/loss_video` and `eval/loss_audio` are the means of the two streams.

    The noise belongs to (seed, sample, noise level), so the figures of two moments, and of two runs, can be compared.
    Samples with a first frame are conditioned on it, others on nothing, and no caption is dropped. None: it was left
    because `stopping` said so.
    """
    losses = torch.zeros(len(settings.sigmas), len(rows))
    streams: dict[str, list[float]] = {"eval/loss_video": [], "eval/loss_audio": []}
    with watching(model):
        for place, row in enumerate(rows):
            batch = moved(records.batch([place], [False]), device)
            options = FlowOptions(first_frame_probability=1.0 if batch.image else 0.0)
            for level, sigma in enumerate(settings.sigmas):
                if stopping():
                    return None
                draws = CountedDraws(settings.seed, level, [row])
                said = family.predict(model, batch, torch.tensor([sigma]), draws, options)
                found = losses_of(said, audio_weight)
                losses[level, place] = found.total[0]
                streams["eval/loss_video"].append(float(found.video[0]))
                streams["eval/loss_audio"] += [] if found.audio is None else [float(found.audio[0])]
    figures = {f"eval/loss_{sigma:g}": float(mean) for sigma, mean in zip(settings.sigmas, losses.mean(1), strict=True)}
    if streams["eval/loss_audio"]:
        figures |= {name: sum(values) / len(values) for name, values in streams.items()}
    return {"eval/loss": float(losses.mean()), **figures}
