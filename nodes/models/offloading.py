"""Group offload on live modules, through diffusers' hooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from diffusers.hooks import HookRegistry, apply_group_offloading
from diffusers.hooks.group_offloading import (
    _GROUP_OFFLOADING,
    _LAYER_EXECUTION_TRACKER,
    _LAZY_PREFETCH_GROUP_OFFLOADING,
    ModuleGroup,
)

from vflow.nodes.models.live import device_named

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.models.offload import GroupOffloading

_HOOKS = (_GROUP_OFFLOADING, _LAYER_EXECUTION_TRACKER, _LAZY_PREFETCH_GROUP_OFFLOADING)
_LISTS = (torch.nn.ModuleList, torch.nn.Sequential)


def offload(settings: GroupOffloading, live: Any, context: Context) -> Any:
    """Hook every module of the part, unless there is no accelerator and nothing is forced."""
    device = device_named(settings.device)
    if not settings.active(device.type):
        return live
    streams = settings.stream and device.type != "cpu"
    if settings.stream and not streams:
        context.log("group offload: no stream, since there is no accelerator")
    for module in live.modules().values():
        apply_group_offloading(
            module,
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type=f"{settings.level}_level",
            num_blocks_per_group=1 if streams else settings.blocks_per_group,
            non_blocking=settings.non_blocking,
            use_stream=streams,
            record_stream=settings.record_stream and streams,
            low_cpu_mem_usage=settings.low_cpu_mem_usage,
            block_modules=_ways_to_blocks(module) if settings.level == "block" else None,
        )
        _give_shared_to_outer(module)
        _keep_on_device([p for p in module.parameters() if p.requires_grad], module, device)
    context.log(f"group offload by {settings.level}s, computing on {device}")
    return live


def is_offloaded(module: torch.nn.Module) -> bool:
    """Tell whether a module is hooked for group offload."""
    return next(groups_of(module), None) is not None


def groups_of(module: torch.nn.Module) -> Iterator[ModuleGroup]:
    """Yield the groups of an offloaded module, each once."""
    seen = set()
    for layer in module.modules():
        registry = getattr(layer, "_diffusers_hook", None)
        hook = registry.get_hook(_GROUP_OFFLOADING) if registry else None
        if hook is not None and id(hook.group) not in seen:
            seen.add(id(hook.group))
            yield hook.group


def remove_hooks(live: Any) -> bool:
    """Take all offload hooks off; tell whether the modules are then as without."""
    for module in live.modules().values():
        if not is_offloaded(module):
            continue
        registry = HookRegistry.check_if_exists_or_initialize(module)
        for name in _HOOKS:
            registry.remove_hook(name, recurse=True)
        for layer in module.modules():
            _forget_registry(layer)
    return not any(is_offloaded(module) for module in live.modules().values())


def _forget_registry(layer: torch.nn.Module) -> None:
    """Drop an empty registry, and the `forward` that it left on the instance, which is the class's own again."""
    registry = getattr(layer, "_diffusers_hook", None)
    if registry is None or registry.hooks:
        return
    del layer._diffusers_hook
    if getattr(layer.__dict__.get("forward"), "__func__", None) is type(layer).forward:
        del layer.__dict__["forward"]


def _ways_to_blocks(module: torch.nn.Module) -> list[str] | None:
    """Return the names of the sub-modules on the way to lists of blocks, where those lie deeper than the top.

    diffusers looks for lists of blocks among a module's own children only; in a VAE or a text encoder they lie within
    an encoder or a language model, and all would be one group. None leaves it to diffusers.
    """
    own = [child for child in module.children() if isinstance(child, _LISTS)]
    if hasattr(module, "_group_offload_block_modules") or _size(own) * 2 > _size([module]):
        return None
    lists = [name for name, layer in module.named_modules() if isinstance(layer, _LISTS)]
    outermost = [n for n in lists if not any(n.startswith(f"{other}.") for other in lists)]
    return sorted({step for name in outermost for step in name.split(".")[:-1]})


def _size(modules: Iterable[torch.nn.Module]) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _keep_on_device(kept: list[torch.nn.Parameter], module: torch.nn.Module, device: torch.device) -> None:
    """Take parameters out of their groups and put them on the device for good.

    What trains is small, and would else come and go beside its gradient and the optimizer's state.
    """
    for group in groups_of(module) if kept else ():
        _leave_out(kept, group)
    for parameter in kept:
        parameter.data = parameter.data.to(device)


def _give_shared_to_outer(module: torch.nn.Module) -> None:
    """Take parameters out of a group that a group around it holds too.

    An embedding that is also the last layer would leave with the inner group, while the outer one still needs it.
    """
    names = {id(layer): name for name, layer in module.named_modules()}
    groups = [(names[id(group.onload_leader)], group) for group in groups_of(module) if group.onload_leader]
    for outer_name, outer in groups:
        held = list(_tensors_of(outer)[0])
        for name, inner in groups:
            if inner is not outer and name != outer_name and name.startswith(f"{outer_name}." if outer_name else ""):
                _leave_out(held, inner)


def _leave_out(left_out: list[torch.nn.Parameter], group: ModuleGroup) -> None:
    """Take parameters out of a group. It moves whole modules: those are spelt out as the tensors that remain."""
    ids = {id(parameter) for parameter in left_out}
    parameters, buffers = _tensors_of(group)
    if any(id(parameter) in ids for parameter in parameters):
        group.parameters = [parameter for parameter in parameters if id(parameter) not in ids]
        group.buffers = buffers
        group.modules = []


def _tensors_of(group: ModuleGroup) -> tuple[list[torch.nn.Parameter], list[torch.Tensor]]:
    parameters = [*group.parameters, *(p for module in group.modules for p in module.parameters())]
    buffers = [*group.buffers, *(b for module in group.modules for b in module.buffers())]
    return list(dict.fromkeys(parameters)), list(dict.fromkeys(buffers))
