"""Training a transformer's own weights, on live modules, and saving them as diffusers does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFETENSORS_WEIGHTS_NAME
from huggingface_hub import split_torch_state_dict_into_shards

from vflow.engine.problems import Failure
from vflow.nodes.families.loading import stays_float32
from vflow.nodes.models.adapter_file import write_safetensors

if TYPE_CHECKING:
    from vflow.nodes.models.weights import Unfrozen

#: no file of weights is larger
_MOST = "5GB"


def unfreeze(unfrozen: Unfrozen, live: Any) -> Any:
    """Let the matching parameters of the transformer require gradients, and no others; see `weights.Unfrozen`."""
    whole, found = re.compile(unfrozen.pattern), False
    for name, parameter in live.modules()["transformer"].named_parameters():
        parameter.requires_grad_(wanted := whole.fullmatch(name) is not None)
        found = found or wanted
    if not found:
        raise Failure(
            f"no weight of the transformer matches {unfrozen.pattern!r}", "a pattern has to match whole names"
        )
    return live


def save(model: Any, folder: Path, dtype: str) -> list[Path]:
    """Write a diffusers model as `save_pretrained` would, in another type if need be, and return the files in order.

    Equal weights are equal bytes: no path and no order of metadata gets in. One tensor at a time is copied. What the
    class keeps in float32 whatever it is loaded as stays float32.
    """
    tensors = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    types = {
        name: getattr(torch, dtype)
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not stays_float32(model, name)
    }
    shapes = {n: torch.empty(t.shape, dtype=types.get(n, t.dtype), device="meta") for n, t in tensors.items()}
    pattern = SAFETENSORS_WEIGHTS_NAME.replace(".safetensors", "{suffix}.safetensors")
    shards = split_torch_state_dict_into_shards(shapes, filename_pattern=pattern, max_shard_size=_MOST)
    for file, names in shards.filename_to_tensors.items():
        write_safetensors(folder / file, {name: tensors[name] for name in names}, {"format": "pt"}, types)
    config = json.loads(model.to_json_string())
    config.pop("_name_or_path", None)  # where it was loaded from, on this machine
    texts = {"config.json": config}
    if shards.is_sharded:
        texts[SAFE_WEIGHTS_INDEX_NAME] = {"metadata": shards.metadata, "weight_map": shards.tensor_to_filename}
    for name, data in texts.items():
        (folder / name).write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")
    return sorted(folder / name for name in (*texts, *shards.filename_to_tensors))
