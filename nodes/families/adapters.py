"""Adapters of live models, saved in the form that diffusers' pipelines read, and loaded from any: for every family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY, LORA_WEIGHT_NAME_SAFE
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict

from vflow.engine.problems import Failure
from vflow.nodes.families import adapter_forms
from vflow.nodes.families.base import Family
from vflow.nodes.models.adapter_file import write_safetensors


def save(model: Any, folder: Path, family: Family) -> Path:
    """Write the adapter of a diffusers model (the active one, where there are several) and return the file.

    Raises:
        Failure: the model has no adapter.
    """
    name, prefix = _adapter_of(model), family.adapter_prefix
    weights = get_peft_model_state_dict(model, adapter_name=name)
    tensors = {prefix + key: tensor.detach().cpu().contiguous() for key, tensor in weights.items()}
    settings = adapter_forms.plain_settings(model.peft_config[name])
    metadata = json.dumps({prefix + key: value for key, value in settings.items()}, indent=2, sort_keys=True)
    file = folder / str(LORA_WEIGHT_NAME_SAFE)
    write_safetensors(file, tensors, {"format": "pt", LORA_ADAPTER_METADATA_KEY: metadata})
    return file


def load(model: Any, file: Path, weight: float, family: Family) -> None:
    """Put an adapter onto a diffusers model beside those it has, with the model's own loader, all of them active.

    The file may be in any form that `adapter_forms.read` knows. The new adapter is frozen; what was trained before is
    trained after.

    Raises:
        Failure: it does not fit (another family, other shapes, nothing in it); the model is as before then.
    """
    adapter = adapter_forms.read(file, family)
    _check(model, adapter, file, family)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    active = _active(model)
    others = getattr(model, "peft_config", {})
    name = "default" if "default" not in others else f"loaded_{len(others)}"
    model.load_lora_adapter(
        adapter.tensors(),
        network_alphas=None,
        adapter_name=name,
        metadata=adapter.known_settings(),
        low_cpu_mem_usage=True,
        prefix=None,
    )
    if name not in getattr(model, "peft_config", {}):
        raise Failure(f"nothing was loaded from {file}", f"give an adapter of {family.title}")
    model.set_adapters([*active, name], [*active.values(), weight])
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter_name in trained)


def _check(model: Any, adapter: adapter_forms.LowRankAdapter, file: Path, family: Family) -> None:
    modules = dict(model.named_modules())
    for name, layer in sorted(adapter.layers.items()):
        module = modules.get(name)
        if isinstance(module, BaseTunerLayer):
            module = module.get_base_layer()
        sizes = (layer.down.shape[1], layer.up.shape[0])
        if not isinstance(module, torch.nn.Linear) or sizes != (module.in_features, module.out_features):
            raise Failure(
                f"{file} does not fit this transformer of {family.title}: {name} {_shape_words(module)}, "
                f"the adapter is for {sizes[0]} inputs and {sizes[1]} outputs",
                "give an adapter that was trained on this model",
            )


def _shape_words(module: torch.nn.Module | None) -> str:
    if isinstance(module, torch.nn.Linear):
        return f"has {module.in_features} inputs and {module.out_features} outputs"
    return "is not in it" if module is None else "is no linear layer"


def _adapter_of(model: Any) -> str:
    names = list(getattr(model, "peft_config", {}))
    if not names:
        raise Failure("the transformer has no adapter to save", "put ApplyLoRA before TrainLoop")
    return "default" if "default" in names else str(names[0])


def _active(model: Any) -> dict[str, float]:
    """Return the active adapters, each with the weight that `set_adapters` gave it."""
    weights: dict[str, float] = {}
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            here = set(module.active_adapters) & set(module.scaling) - set(weights)
            weights |= {name: module.scaling[name] / _own_scale(module, name) for name in sorted(here)}
    return weights


def _own_scale(module: Any, name: str) -> float:
    rank = module.r[name]
    return float(module.lora_alpha[name] / (rank**0.5 if module.use_rslora.get(name) else rank))
