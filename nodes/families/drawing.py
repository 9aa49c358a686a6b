"""What drawing a clip with a diffusers pipeline needs in every family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from vflow.engine.problems import Failure, suggest
from vflow.nodes.families.base import Family
from vflow.nodes.families.exchange import SamplingRequest


def read_options(family: Family | type[Family], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of a family's sampling options, those that were not given at their defaults, under their own names.

    Raises:
        Failure: an unknown option, or a value of another kind.
    """
    known = family.sampling_options
    for name, value in given.items():
        if name not in known:
            raise Failure(f"{family.title} has no sampling option {name!r}", suggest(name, known))
        if not known[name].fits(value):
            raise Failure(f"sampling option {name} is {value!r}", f"write a value like {known[name].default!r}")
    values: dict[str, Any] = {name: option.default for name, option in known.items() if not option.instead}
    for name in sorted(given, key=lambda name: not known[name].instead):  # its own name wins over another
        values[known[name].instead or name] = given[name]
    return values


def step_teller(request: SamplingRequest) -> Any:
    """Return what a pipeline takes as `callback_on_step_end` to tell `request.on_step`; None where there is none."""
    if request.on_step is None:
        return None

    def tell(_pipeline: Any, step: int, _timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        request.on_step(step + 1, request.steps)  # type: ignore[misc]
        return {}

    return tell


def tell_pipeline(request: SamplingRequest, pipeline: Any) -> None:
    """Tell `request.on_pipeline`, if there is one, of the pipeline that is about to draw."""
    if request.on_pipeline is not None:
        request.on_pipeline(pipeline)


def as_bytes(frames: Any) -> np.ndarray:
    """Return frames (F, H, W, 3) in [0, 1] as uint8; what a diverged transformer said (NaN) becomes black."""
    return np.asarray(np.round(np.nan_to_num(frames) * 255), dtype=np.uint8)


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for a while, with adapters as diffusers' pipelines hold them.

    Their weights ask for gradients there. None are computed, but where its input is a view torch multiplies by such a
    weight in another way, with other last bits.
    """
    training = module.training
    frozen = [p for name, p in module.named_parameters() if ".lora_" in name and not p.requires_grad]
    module.eval()
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        module.train(training)
        for parameter in frozen:
            parameter.requires_grad_(False)


@contextmanager
def tiling(vae: Any, wanted: bool) -> Iterator[None]:
    """Let a VAE decode in tiles for a while, where that is wanted."""
    tiled = vae.use_tiling
    vae.use_tiling = tiled or wanted
    try:
        yield
    finally:
        vae.use_tiling = tiled


@contextmanager
def encoding_in_its_dtype(vae: Any) -> Iterator[None]:
    """Let a VAE encode pixels of any floating-point type for a while: pipelines hand them over in the transformer's."""

    def cast(_encoder: torch.nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (given[0].to(vae.dtype), *given[1:])

    with vae.encoder.register_forward_pre_hook(cast):
        yield
