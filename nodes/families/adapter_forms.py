"""Low-rank adapters as files hold them, read from every form and written in two: diffusers' own, and ComfyUI's.

A layer adds (alpha / rank) B A to its weight W. diffusers tells alpha in the metadata, as the settings of peft's
`LoraConfig`; other programs write it beside A and B as a tensor of its own.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from peft import LoraConfig
from peft.utils.other import get_pattern_key

from vflow.engine.problems import Failure
from vflow.nodes.families.base import Family
from vflow.nodes.families.layer_names import FUSED, LayerNames, Place, fused_ranks, metadata_of, written_layers
from vflow.nodes.models.adapter_file import read_safetensors, write_safetensors

Tensors = dict[str, torch.Tensor]
Settings = dict[str, Any]

#: what stands before a layer's name in ComfyUI
_COMFYUI = "diffusion_model."
#: alpha tensors are float32, the settings' numbers are not
_CLOSE = 1e-6


@dataclass(frozen=True)
class LowRank:
    """What one layer is given: A (rank, inputs), B (outputs, rank), and alpha, or None where nothing tells it."""

    down: torch.Tensor
    up: torch.Tensor
    alpha: float | None = None

    @property
    def rank(self) -> int:
        """The width between A and B."""
        return int(self.down.shape[0])

    @property
    def scale(self) -> float:
        """What B A is multiplied by; alpha counts as the rank where nothing tells it."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


@dataclass(frozen=True)
class LowRankAdapter:
    """An adapter: layers by diffusers' names, the settings of `LoraConfig`, and the file's other metadata."""

    layers: dict[str, LowRank]
    settings: Settings
    texts: dict[str, str]

    def tensors(self, prefix: str = "") -> Tensors:
        """Return A and B by the keys of diffusers' files."""
        return {
            f"{prefix}{name}.lora_{kind}.weight": tensor
            for name, layer in self.layers.items()
            for kind, tensor in (("A", layer.down), ("B", layer.up))
        }

    def known_settings(self) -> Settings:
        """Return the settings that the installed peft knows."""
        known = {field.name for field in fields(LoraConfig)}
        return {name: value for name, value in self.settings.items() if name in known}


def read(file: Path, family: Family) -> LowRankAdapter:
    """Read an adapter in whatever form it is: diffusers', ComfyUI's, kohya's, the original code's, bare.

    Raises:
        Failure: it is no plain LoRA of linear layers; says what is not understood.
    """
    mapped, texts = read_safetensors(file)
    # copies: in a mapped file tensors lie at odd addresses, where some kernels add up in another order
    tensors = {name: tensor.clone() for name, tensor in mapped.items()}
    try:
        if not tensors:
            raise Failure("no LoRA weights in it", f"give an adapter of {family.title}")
        layers = dict(_layers(tensors, texts, family.layer_names))
        settings = _settings(texts.pop(LORA_ADAPTER_METADATA_KEY, None), layers)
    except Failure as error:
        raise Failure(f"{file} is no adapter for {family.title}: {error.message}", error.remedy) from error
    texts.pop(FUSED, None)
    layers = {name: replace(layer, alpha=_scale(settings, name) * layer.rank) for name, layer in layers.items()}
    return LowRankAdapter(layers, settings, texts)


def write_diffusers(adapter: LowRankAdapter, file: Path, prefix: str) -> None:
    """Write an adapter as the family's diffusers pipeline loads it: equal adapters, equal bytes."""
    settings = {prefix + name: value for name, value in adapter.settings.items()}
    metadata = json.dumps(settings, indent=2, sort_keys=True)
    texts = {"format": "pt"} | adapter.texts | {LORA_ADAPTER_METADATA_KEY: metadata}
    write_safetensors(file, adapter.tensors(prefix), texts)


def write_comfyui(adapter: LowRankAdapter, file: Path, family: Family) -> None:
    """Write an adapter under the names by which ComfyUI knows the layers, with alpha as tensors.

    The settings and the other metadata stay in the file, so that reading it gives the same adapter again.

    Raises:
        Failure: a layer has no such name.
    """
    places: dict[Place, None] = {}
    for name in adapter.layers:
        place = family.layer_names.place(name)
        if place is None:
            raise Failure(
                f"it is not known how ComfyUI names the layer {name} of {family.title}", "use --format diffusers"
            )
        places[place] = None
    tensors: Tensors = {}
    ranks: dict[str, list[int]] = {}
    for place in places:
        members = [adapter.layers.get(member) for member in place.members]
        layer = _fused(place.name, members) if len(members) > 1 else adapter.layers[place.members[0]]
        if len(members) > 1:
            ranks[place.name] = [member.rank if member else 0 for member in members]
        key = _COMFYUI + place.name
        tensors |= {f"{key}.lora_A.weight": layer.down, f"{key}.lora_B.weight": layer.up}
        tensors[f"{key}.alpha"] = torch.tensor(layer.scale * layer.rank, dtype=torch.float32)
    fused = {FUSED: json.dumps(ranks, sort_keys=True, separators=(",", ":"))} if ranks else {}
    settings = {LORA_ADAPTER_METADATA_KEY: json.dumps(adapter.settings, indent=2, sort_keys=True)}
    write_safetensors(file, tensors, {"format": "pt"} | adapter.texts | settings | fused)


def plain_settings(config: LoraConfig) -> Settings:
    """Return the configuration as plain JSON in which equal adapters are equal: no paths, sets in order."""
    data = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    return data | {"base_model_name_or_path": None, "inference_mode": False, "revision": None}


def _layers(tensors: Tensors, texts: Mapping[str, str], names: LayerNames) -> Iterator[tuple[str, LowRank]]:
    """Yield the layers by diffusers' names, fused ones taken apart."""
    ranks = fused_ranks(texts)
    seen: set[str] = set()
    for written in written_layers(tensors).values():
        down, up = tensors[written.down], tensors[written.up]
        if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1] or not down.shape[0]:
            shapes = f"A {tuple(down.shape)} and B {tuple(up.shape)}"
            raise Failure(f"{written.layer} is no LoRA of a linear layer: {shapes}", "give a LoRA of linear layers")
        alpha = _number(tensors[written.alpha], written.alpha) if written.alpha else None
        members = names.ours(written.layer) or (written.layer,)
        whole = LowRank(down, up, alpha)
        parts = _split(written.layer, whole, len(members), ranks.get(written.layer)) if len(members) > 1 else [whole]
        for member, part in zip(members, parts, strict=True):
            if part is None:
                continue
            if member in seen:
                raise Failure(f"it holds the layer {member} twice", "give a file with one adapter in it")
            seen.add(member)
            yield member, part


def _number(tensor: torch.Tensor, key: str) -> float:
    if tensor.numel() != 1 or not math.isfinite(tensor.item()):
        raise Failure(f"{key} is no number", "give an undamaged file")
    return float(tensor.item())


def _fused(name: str, members: list[LowRank | None]) -> LowRank:
    """Put the LoRAs of layers that lie one after the other along the outputs into one: A stacked, B in blocks.

    Members without a LoRA get rows of zeros. Where scales differ, B takes up the difference.
    """
    present = [member for member in members if member is not None]
    outputs, first = present[0].up.shape[0], present[0]
    if any(part.up.shape[0] != outputs or part.down.shape[1] != first.down.shape[1] for part in present):
        raise Failure(f"the layers fused in {name} have different sizes", "use --format diffusers")
    down = torch.cat([part.down for part in present])
    up = torch.zeros(outputs * len(members), down.shape[0], dtype=first.up.dtype)
    column = 0
    for number, member in enumerate(members):
        if member is not None:
            same = member.scale == first.scale
            block = member.up if same else member.up * (member.scale / first.scale)
            up[number * outputs : (number + 1) * outputs, column : column + member.rank] = block
            column += member.rank
    return LowRank(down, up, first.scale * column)


def _split(name: str, whole: LowRank, count: int, ranks: list[int] | None) -> list[LowRank | None]:
    """Take a fused layer apart. Where its members' ranks are not told, each has all of A and its own rows of B."""
    if whole.up.shape[0] % count:
        raise Failure(f"{name} has {whole.up.shape[0]} outputs, no {count} times as many", "give an undamaged file")
    blocks = whole.up.chunk(count)
    if ranks is None:
        return [LowRank(whole.down.clone(), block.clone(), whole.alpha) for block in blocks]
    if len(ranks) != count or sum(ranks) != whole.rank or min(ranks) < 0:
        raise Failure(f"its metadata are damaged: the ranks of {name} do not fit it", "give an undamaged file")
    parts: list[LowRank | None] = []
    column = 0
    for block, rank in zip(blocks, ranks, strict=True):
        columns = slice(column, column + rank)
        alpha = None if whole.alpha is None else whole.alpha * rank / whole.rank
        parts.append(LowRank(whole.down[columns].clone(), block[:, columns].clone(), alpha) if rank else None)
        column += rank
    return parts


def _settings(written: str | None, layers: Mapping[str, LowRank]) -> Settings:
    """Return the settings that a file tells; where it tells none, or its alpha tensors say otherwise, the layers'."""
    try:
        _, told = metadata_of(json.loads(written or "{}"))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Failure(f"the adapter's metadata are damaged: {error}", "give an undamaged file") from error
    if told.get("use_dora"):
        raise Failure("it is a DoRA, which is not loaded here", "train it as plain LoRA, or merge it into the model")
    if not told:
        return _settings_of(layers)
    try:
        wrong = next((name for name, layer in layers.items() if not _agrees(told, name, layer)), None)
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise Failure(f"the adapter's metadata are damaged: {error}", "give an undamaged file") from error
    if wrong is None:
        return told
    if all(layer.alpha is not None for layer in layers.values()):
        return _settings_of(layers)
    raise Failure(
        f"its metadata say rank {_of(told, 'rank_pattern', 'r', wrong)} of {wrong}, its tensors {layers[wrong].rank}",
        "give the file as it was trained",
    )


def _settings_of(layers: Mapping[str, LowRank]) -> Settings:
    """Return settings for layers: the commonest rank and alpha, and patterns for layers that have others."""
    alphas = {name: layer.scale * layer.rank for name, layer in layers.items()}
    rank, alpha = Counter((layer.rank, alphas[name]) for name, layer in layers.items()).most_common(1)[0][0]
    ranks = {_whole(name): layer.rank for name, layer in layers.items() if layer.rank != rank}
    others = {_whole(name): value for name, value in alphas.items() if value != alpha}
    whole = int(alpha) if alpha == int(alpha) else alpha
    config = LoraConfig(r=rank, lora_alpha=whole, target_modules=set(layers), rank_pattern=ranks, alpha_pattern=others)
    return plain_settings(config)


def _whole(name: str) -> str:
    """Return a pattern of peft's for exactly one layer: without `^` it would also match the ends of longer names."""
    return "^" + name.replace(".", r"\.")


def _agrees(settings: Settings, name: str, layer: LowRank) -> bool:
    """Tell whether settings have a layer's rank, and its scale where the file tells its alpha."""
    if _of(settings, "rank_pattern", "r", name) != layer.rank:
        return False
    scale = _scale(settings, name)
    return layer.alpha is None or math.isclose(scale, layer.scale, rel_tol=_CLOSE)


def _scale(settings: Settings, name: str) -> float:
    """Return what B A of a layer is multiplied by, as peft computes it."""
    rank = _of(settings, "rank_pattern", "r", name)
    return float(_of(settings, "alpha_pattern", "lora_alpha", name)) / (
        math.sqrt(rank) if settings.get("use_rslora") else rank
    )


def _of(settings: Settings, patterns: str, usual: str, name: str) -> Any:
    chosen: dict[str, Any] = settings.get(patterns) or {}
    return chosen.get(get_pattern_key(list(chosen), name), settings.get(usual, 8))
