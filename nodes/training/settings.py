"""The groups of settings of the training loop. Light."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vflow.engine.node import Unit

Decay = Annotated[float, Field(ge=0, lt=1)]
Sigma = Annotated[float, Field(gt=0, le=1)]


class Settings(BaseModel):
    """A group of settings inside a node: as strict as the node itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class OptimizerSettings(Settings):
    """How gradients become updates."""

    name: Literal["adamw", "adamw_bf16"] = Field(
        "adamw",
        description="`adamw` trains weights in float32; `adamw_bf16` keeps weights and both moments in bfloat16 and "
        "rounds them stochastically: a third of the memory.",
    )
    lr: float = Field(1e-4, gt=0, le=1, description="Learning rate after the warm-up.")
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="Decay rates of the first and the second moment.")
    eps: float = Field(1e-8, gt=0, le=1, description="Added to the root of the second moment.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Decoupled weight decay, in parts of the learning rate.")


class ScheduleSettings(Settings):
    """How the learning rate changes."""

    name: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="With `constant`, a longer training goes on from a shorter one."
    )
    warmup_steps: Annotated[int, Unit("steps")] = Field(
        0, ge=0, description="Steps in which the rate rises linearly from 0 to `lr`."
    )
    end: float = Field(
        0.0, ge=0, le=1, description="Part of `lr` that is left after the last step, for linear and cosine."
    )


class FlowSettings(Settings):
    """How noise levels are drawn, and what stays clean."""

    distribution: Literal["family", "logit_normal", "uniform"] = Field(
        "family", description="Of the noise level; `family` is what the model's own trainer draws."
    )
    shift: float | None = Field(
        None,
        gt=0,
        le=100,
        description="k in s <- k*s / (1 + (k-1)*s); empty: the family's own, and 1 for the two plain distributions.",
    )
    first_frame_probability: float | None = Field(
        None, ge=0, le=1, description="How often the first latent frame stays clean; empty: the family's own."
    )


class EvaluationSettings(Settings):
    """The loss on clips held out of training, with noise and noise levels that never change."""

    every: Annotated[int, Unit("steps")] = Field(
        250, ge=0, description="Steps between two evaluations; 0 for never. Also before and after all."
    )
    sigmas: tuple[Sigma, ...] = Field(
        (0.2, 0.4, 0.6, 0.8), min_length=1, max_length=32, description="Noise levels; 1 is pure noise."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the evaluation's noise.")
    max_samples: Annotated[int, Unit("samples")] = Field(
        16, ge=1, description="At most so many held-out samples, chosen by their row."
    )
