"""Adapters on live modules, with peft through diffusers' own methods."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer

from vflow.engine.problems import Failure
from vflow.nodes.families import family

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.models.adapters import Adapted, LoRA

_NAME = "default"
_A, _B = "lora_A", "lora_B"


def add_lora(lora: LoRA, live: Any, context: Context) -> Any:
    """Add the LoRA's layers to every matching linear layer of the transformer; see `adapters.LoRA`."""
    model = live.modules()["transformer"]
    names = matching_layers(model, lora.pattern)
    if not names:
        raise Failure(
            f"no linear layer of the transformer matches {lora.pattern!r}",
            "choose one of the family's targets, or a pattern that matches whole names of layers",
        )
    config = LoraConfig(
        r=lora.rank, lora_alpha=_plain_alpha(lora.alpha), lora_dropout=lora.dropout, target_modules=lora.pattern
    )
    start = _read_start(lora, live, context)
    with torch.random.fork_rng(devices=[]):  # peft draws from the global generator, which is not ours to move
        model.add_adapter(config, adapter_name=_NAME)
    if start:
        _start_from(start, model)
    else:
        _initialise(model, lora.seed)
    for parameter in trainable(model):
        parameter.data = parameter.data.to(getattr(torch, lora.adapter_dtype))
    return live


def matching_layers(model: torch.nn.Module, pattern: str) -> list[str]:
    """Return the names of the linear layers whose whole name matches."""
    whole = re.compile(pattern)
    return [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and whole.fullmatch(n)]


def load_finished(adapted: Adapted, live: Any, context: Context) -> Any:
    """Put a finished adapter onto the transformer and freeze it."""
    file = context.blob_path(adapted.adapter.blob)
    family(adapted.adapter.family).load_adapter(live, file, adapted.weight)
    live.modules()["transformer"].requires_grad_(False)
    return live


def remove_adapters(live: Any) -> bool:
    """Take every adapter off all modules; tell whether no layer of one is left.

    Deleting an adapter by name would leave peft's wrappers around the layers; unloading takes those off too.
    """
    for module in live.modules().values():
        if _adapted(module):
            module.unload_lora()
    return not any(_adapted(module) for module in live.modules().values())


def trainable(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the parameters that train."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _plain_alpha(alpha: float) -> float:
    return int(alpha) if alpha == int(alpha) else alpha  # files of other tools hold whole numbers


def _weights(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return A and B of every adapted layer, by the layer's name with `.lora_A` or `.lora_B` behind it."""
    return {
        f"{name}.{kind}": getattr(layer, kind)[layer.active_adapters[0]].weight
        for name, layer in _adapted(model)
        for kind in (_A, _B)
    }


def _adapted(model: torch.nn.Module) -> list[tuple[str, Any]]:
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)]


def _initialise(model: torch.nn.Module, seed: int) -> None:
    """Draw A as peft does (uniform within 1 / sqrt(inputs), Kaiming with a = sqrt(5)) and set B to zero.

    Each layer has a generator of its own, seeded from the LoRA's seed and the layer's name, so that neither the other
    layers nor the global generator matter.
    """
    for name, weight in _weights(model).items():
        if name.endswith(_B):
            weight.data.zero_()
            continue
        number = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "big")
        bound = 1 / math.sqrt(weight.shape[1])
        drawn = torch.empty(weight.shape).uniform_(-bound, bound, generator=torch.Generator().manual_seed(number))
        weight.data.copy_(drawn)


def _read_start(lora: LoRA, live: Any, context: Context) -> dict[str, torch.Tensor]:
    """Return A and B, by the names of `_weights`, of the adapter to start from; nothing where there is none.

    The family reads the file, in whatever form it knows. B is scaled where the file's alpha / rank is another, so that
    training starts from what the adapter does.
    """
    if lora.adapter is None:
        return {}
    model = live.modules()["transformer"]
    with torch.random.fork_rng(devices=[]):
        family(lora.adapter.family).load_adapter(live, context.blob_path(lora.adapter.blob), 1.0)
    tensors = {name: weight.detach().float() for name, weight in _weights(model).items()}
    for name, layer in _adapted(model):
        tensors[f"{name}.{_B}"] *= layer.scaling[layer.active_adapters[0]] * lora.rank / lora.alpha
    model.unload_lora()
    return tensors


def _start_from(given: Mapping[str, torch.Tensor], model: torch.nn.Module) -> None:
    wanted = _weights(model)
    if given.keys() != wanted.keys() or any(given[name].shape != p.shape for name, p in wanted.items()):
        raise Failure(
            f"the adapter to start from has {len(given) // 2} layers; this LoRA has {len(wanted) // 2}, or others",
            "write the rank and the target with which it was trained",
        )
    for name, parameter in wanted.items():
        parameter.data = given[name].to(parameter.device)
