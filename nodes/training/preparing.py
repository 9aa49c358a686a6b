"""Making a lent model ready for training, and handing it back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import GradientAccumulationPlugin

from vflow.engine.problems import Failure
from vflow.nodes.families.loading import stays_float32
from vflow.nodes.models.live import enable_checkpointing
from vflow.nodes.training.optim import Named

NOTHING = "nothing of the transformer is to be trained"
NOTHING_REMEDY = "put ApplyLoRA or Unfreeze between it and TrainLoop"


def trained_parameters(model: torch.nn.Module, dtype: torch.dtype) -> Named:
    """Return the parameters that are trained, with their names, turned into the dtype they are trained in.

    Those that their network always computes in float32 are trained in it.

    Raises:
        Failure: nothing of the model is to be trained.
    """
    found = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not found:
        raise Failure(NOTHING, NOTHING_REMEDY)
    for name, parameter in found:
        parameter.data = parameter.data.to(torch.float32 if _is_island(model, name) else dtype)
    return found


def _is_island(model: torch.nn.Module, name: str) -> bool:
    return stays_float32(model, name) and ".lora_" not in name


@contextmanager
def prepared(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: str, device: torch.device
) -> Iterator[tuple[Accelerator, Any, Any]]:
    """Let accelerate prepare model and optimiser; yield (accelerator, model, optimiser) and undo it afterwards.

    The model stands where its recipe put it: accelerate moves nothing, which with offloading it must not.
    """
    _forget_accelerate()
    accelerator = Accelerator(
        mixed_precision="bf16" if precision == "bf16" else "no",
        device_placement=False,
        cpu=device.type == "cpu",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
    before = {name: model.__dict__[name] for name in _PATCHED if name in model.__dict__}
    try:
        yield (accelerator, *accelerator.prepare(model, optimizer))
    finally:
        _restore(model, before)
        _forget_accelerate()


@contextmanager
def unprepared(model: torch.nn.Module) -> Iterator[None]:
    """Give the model its own `forward` back for a while, in evaluation mode, without gradients."""
    patched = {name: model.__dict__[name] for name in _PATCHED if name in model.__dict__}
    if "_original_forward" in patched:
        model.__dict__["forward"] = patched["_original_forward"]
    try:
        with watching(model):
            yield
    finally:
        _restore(model, patched)


@contextmanager
def drawn_with(model: torch.nn.Module, named: Named, dtype: torch.dtype) -> Iterator[None]:
    """Hold weights that train in the type that the model is loaded in for a while, as those hold them who draw later.

    Without autocast, layers of several types do not go together. Adapters bear it, and keep their own type, as do
    layers that their network always computes in float32.
    """
    kept = [
        (parameter, parameter.data)
        for name, parameter in named
        if parameter.dtype != dtype and ".lora_" not in name and not stays_float32(model, name)
    ]
    try:
        for parameter, data in kept:
            parameter.data = data.to(dtype)
        yield
    finally:
        for parameter, data in kept:
            parameter.data = data


@contextmanager
def watching(model: torch.nn.Module) -> Iterator[None]:
    """Look at the model without disturbing its training: evaluation mode, no gradients, generators put back."""
    with torch.random.fork_rng(), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            model.train()


@contextmanager
def training_mode(live: Any, gradient_checkpointing: bool) -> Iterator[None]:
    """Put the lent transformer into training mode, and back into evaluation mode; global generators are put back.

    Gradient checkpointing stays on until the model is handed back.
    """
    module = live.modules()["transformer"]
    with torch.random.fork_rng():
        module.train()
        if gradient_checkpointing:
            enable_checkpointing(live)
        try:
            yield
        finally:
            module.eval()
            module.zero_grad(set_to_none=True)


#: what accelerate writes on a module that it prepares
_PATCHED = ("forward", "_original_forward", "_is_accelerate_prepared")


def _restore(model: torch.nn.Module, before: dict[str, Any]) -> None:
    for name in _PATCHED:
        model.__dict__.pop(name, None)
    model.__dict__.update(before)


def _forget_accelerate() -> None:
    # accelerate keeps one state per process and refuses a second loop of another precision or device
    AcceleratorState._reset_state(True)
    GradientState._reset_state()
