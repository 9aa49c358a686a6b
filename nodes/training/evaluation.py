"""The loss on held-out samples, with noise and noise levels that are the same every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from vflow.nodes.families.base import FlowOptions, Prediction
from vflow.nodes.training.draws import CountedDraws
from vflow.nodes.training.preparing import watching
from vflow.nodes.training.records import Records, moved
from vflow.nodes.training.settings import EvaluationSettings

if TYPE_CHECKING:
    from vflow.nodes.families.base import Family


def sample_losses(said: Prediction) -> torch.Tensor:
    """Return the loss of each sample, float32 (B,): mean(error * weight) / mean(weight), error the squared difference.

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
) -> Mapping[str, float] | None:
    """Return `eval/loss`, and `eval/loss_<sigma>` for every noise level, as means over the samples.

    The noise belongs to (seed, sample, noise level), so the figures of two moments, and of two runs, can be compared.
    Nothing is conditioned on a first frame and no caption is dropped. None: it was left because `stopping` said so.
    """
    options = FlowOptions(first_frame_probability=0.0)
    losses = torch.zeros(len(settings.sigmas), len(rows))
    with watching(model):
        for place, row in enumerate(rows):
            batch = moved(records.batch([place], [False]), device)
            for level, sigma in enumerate(settings.sigmas):
                if stopping():
                    return None
                draws = CountedDraws(settings.seed, level, [row])
                said = family.predict(model, batch, torch.tensor([sigma]), draws, options)
                losses[level, place] = sample_losses(said)[0]
    figures = {f"eval/loss_{sigma:g}": float(mean) for sigma, mean in zip(settings.sigmas, losses.mean(1), strict=True)}
    return {"eval/loss": float(losses.mean()), **figures}
