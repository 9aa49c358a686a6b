"""Models made live: loaded, placed, transformed by stage, and handed back as they were."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from vflow.engine.problems import Failure
from vflow.nodes.models import fetch
from vflow.nodes.models.offload import Placement
from vflow.nodes.values import Model

if TYPE_CHECKING:
    from vflow.engine.context import Context

#: parameter -> (shape, dtype, how often it was written to)
State = dict[str, tuple[tuple[int, ...], torch.dtype, int]]


@dataclass
class Base:
    """A part as loaded: what its family returned, and what its parameters were like then."""

    live: Any
    state: State


def open_base(recipe: Model, context: Context) -> Base:
    """Load a part onto the CPU.

    Raises:
        Failure: its files are not here, or do not load.
    """
    if not fetch.is_fetched(recipe.source, context):
        raise Failure(f"the {recipe.part} of {recipe.source.model} is not on this machine", "run `vflow fetch GRAPH`")
    with torch.random.fork_rng(devices=[]):  # whether a base was loaded or was still there must not show in draws
        live = recipe.family.load(recipe.part, fetch.folder_of(recipe.source, context), recipe.dtype)
    for module in live.modules().values():
        module.requires_grad_(False).eval()
    return Base(live, _state_of(live))


def prepare(recipe: Model, base: Base, context: Context) -> Any:
    """Place the base and apply the recipe's transformations by stage; returns what the node works with.

    Where a placement is at work it decides where weights lie: the whole model may be more than the device holds.
    """
    device = device_of(recipe)
    transformations = sorted(recipe.transformations, key=lambda t: t.stage)
    if not any(isinstance(t, Placement) and t.active(device.type) for t in transformations):
        for module in base.live.modules().values():
            module.to(device)
    live = base.live
    for transformation in transformations:
        live = transformation.apply(live, context)
    return live


def restore(recipe: Model, base: Base) -> bool:
    """Undo what was done, last first; tell whether the weights are those that were loaded.

    Checked by the parameters' names, shapes, types and write counters: a write in place, by whomever, shows there.
    """
    modules = base.live.modules().values()
    for module in modules:
        module.zero_grad(set_to_none=True)
        if hasattr(module, "disable_gradient_checkpointing") and module.is_gradient_checkpointing:
            module.disable_gradient_checkpointing()
    undone = [t.undo(base.live) for t in sorted(recipe.transformations, key=lambda t: t.stage, reverse=True)]
    for module in modules:
        module.requires_grad_(False).eval()
    now = _state_of(base.live)
    return all(undone) and all(now.get(name) == before for name, before in base.state.items())


def close_base(base: Base) -> None:
    """Let go of the weights and give the memory back."""
    base.live, base.state = None, {}
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def device_of(recipe: Model) -> torch.device:
    """Return where a recipe computes. See `device_named`."""
    return device_named(recipe.device)


def device_named(name: str) -> torch.device:
    """Return the device that a graph's `device` means: `auto` is the first GPU, else the CPU.

    Raises:
        Failure: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise Failure(f"this machine has no device {name}", "write device: auto, or install a build of torch for CUDA")
    return device


def enable_checkpointing(live: Any) -> None:
    """Switch gradient checkpointing on for the part's modules that have it, in a way that offload bears.

    torch ends the second forward of a block as soon as it has what backward needs. Then the hook behind the block would
    not run and the block stay on the device, and after the backward pass all of them: so it runs to its end there.
    """
    from vflow.nodes.models.offloading import is_offloaded

    for module in live.modules().values():
        if getattr(module, "_supports_gradient_checkpointing", False):
            module.enable_gradient_checkpointing(_whole_blocks if is_offloaded(module) else None)


def _whole_blocks(block: torch.nn.Module, *arguments: Any) -> Any:
    with set_checkpoint_early_stop(False):
        return checkpoint(block.__call__, *arguments, use_reentrant=False)


def _state_of(live: Any) -> State:
    return {
        f"{part}.{name}": (tuple(parameter.shape), parameter.dtype, parameter._version)
        for part, module in live.modules().items()
        for name, parameter in module.named_parameters()
    }
