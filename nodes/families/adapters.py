"""Adapters on disk, in the form that diffusers' pipelines read, and back: the same for every family.

A family says how its pipeline's files name the transformer (`prefix`) and how files of other forms are translated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY, LORA_WEIGHT_NAME_SAFE
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict

from vflow.engine.problems import Failure
from vflow.nodes.models.adapter_file import read_safetensors, write_safetensors

Tensors = dict[str, torch.Tensor]

#: how most pipelines' files begin the names of the transformer's layers
PREFIX = "transformer."
_A, _B = ".lora_A.weight", ".lora_B.weight"


def save(model: Any, folder: Path, prefix: str = PREFIX) -> Path:
    """Write the adapter of a diffusers model (the active one, where there are several) and return the file.

    Raises:
        Failure: the model has no adapter.
    """
    name = _adapter_of(model)
    weights = get_peft_model_state_dict(model, adapter_name=name)
    tensors = {prefix + key: tensor.detach().cpu().contiguous() for key, tensor in weights.items()}
    config = _plain(model.peft_config[name])
    metadata = json.dumps({prefix + key: value for key, value in config.items()}, indent=2, sort_keys=True)
    file = folder / str(LORA_WEIGHT_NAME_SAFE)
    write_safetensors(file, tensors, {"format": "pt", LORA_ADAPTER_METADATA_KEY: metadata})
    return file


def load(
    model: Any,
    file: Path,
    weight: float,
    title: str,
    translate: Callable[[Tensors], Tensors] | None = None,
    prefix: str = PREFIX,
) -> None:
    """Put an adapter onto a diffusers model beside those it has, with the model's own loader, all of them active.

    The new adapter is frozen; what was trained before is trained after. `title` is the family's, for messages.

    Raises:
        Failure: it does not fit (another family, other shapes, nothing in it); the model is as before then.
    """
    tensors, metadata = _read(file, translate)
    _check(model, tensors, file, title, prefix)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    active = _active(model)
    others = getattr(model, "peft_config", {})
    name = "default" if "default" not in others else f"loaded_{len(others)}"
    model.load_lora_adapter(
        tensors,
        network_alphas=None,
        adapter_name=name,
        metadata=metadata,
        low_cpu_mem_usage=True,
        prefix=prefix.removesuffix(".") or None,
    )
    if name not in getattr(model, "peft_config", {}):
        raise Failure(f"nothing was loaded from {file}", f"give an adapter of {title}")
    model.set_adapters([*active, name], [*active.values(), weight])
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter_name in trained)


def _read(file: Path, translate: Callable[[Tensors], Tensors] | None) -> tuple[Tensors, dict[str, Any] | None]:
    mapped, texts = read_safetensors(file)
    # copies: in a mapped file tensors lie at odd addresses, where some kernels add up in another order
    tensors = {name: tensor.clone() for name, tensor in mapped.items()}
    if translate is not None:
        tensors = translate(tensors)
    written = texts.get(LORA_ADAPTER_METADATA_KEY)
    try:
        return tensors, json.loads(written) if written else None
    except ValueError as error:
        raise Failure(f"{file}: the adapter's metadata are damaged: {error}", "give an undamaged file") from error


def _check(model: Any, tensors: Mapping[str, torch.Tensor], file: Path, title: str, prefix: str) -> None:
    foreign = sorted(key for key in tensors if not (key.startswith(prefix) and key.endswith((_A, _B))))
    if foreign or not tensors:
        what = f"{foreign[0]!r} is no LoRA weight of the transformer" if foreign else "no LoRA weights in it"
        raise Failure(f"{file} is no adapter that fits {title}: {what}", "give an adapter of this family")
    modules = dict(model.named_modules())
    for key in sorted(key for key in tensors if key.endswith(_A)):
        name = key[len(prefix) : -len(_A)]
        module = modules.get(name)
        if isinstance(module, BaseTunerLayer):
            module = module.get_base_layer()
        fits = isinstance(module, torch.nn.Linear) and _fits(module, tensors[key], tensors.get(key[: -len(_A)] + _B))
        if not fits:
            raise Failure(
                f"{file} does not fit this transformer: {name} {_shape_words(module)}, "
                f"the adapter is for {tensors[key].shape[-1]} inputs",
                "give an adapter that was trained on this model",
            )


def _fits(module: torch.nn.Linear, a: torch.Tensor, b: torch.Tensor | None) -> bool:
    return b is not None and (a.shape[1], b.shape[0], b.shape[1]) == (
        module.in_features,
        module.out_features,
        a.shape[0],
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


def _plain(config: LoraConfig) -> dict[str, Any]:
    """Return the configuration as plain JSON in which equal adapters are equal: no paths, sets in order."""
    data = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    return data | {"base_model_name_or_path": None, "inference_mode": False, "revision": None}
