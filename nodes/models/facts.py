"""What plans say of models: parameters and bytes, counted from headers and configurations without loading anything."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vflow.nodes.models import fetch
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.headers import read_header
from vflow.nodes.values import Model, Source, Transformer

if TYPE_CHECKING:
    from vflow.engine.context import Context

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def weight_shapes(source: Source, context: Context) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of a part's tensors in its first sub-folder by name; None while its files are not here."""
    if not fetch.is_fetched(source, context):
        return None
    folder = fetch.folder_of(source, context)
    shapes: dict[str, tuple[int, ...]] = {}
    for name in _weight_files(source, context):
        if name.startswith(f"{_first_folder(source)}/"):
            shapes |= read_header(folder / name).shapes
    return shapes


def lora_modules(shapes: dict[str, tuple[int, ...]], pattern: str) -> dict[str, tuple[int, ...]]:
    """Return name and weight shape of the linear layers whose whole name matches the pattern."""
    whole = re.compile(pattern)
    named = ((name.removesuffix(".weight"), shape) for name, shape in shapes.items() if name.endswith(".weight"))
    return {name: shape for name, shape in named if len(shape) == 2 and whole.fullmatch(name)}


def lora_parameters(shapes: dict[str, tuple[int, ...]], pattern: str, rank: int) -> int:
    """Return how many parameters a LoRA has: rank x (inputs + outputs) for every layer."""
    return sum(rank * (outputs + inputs) for outputs, inputs in lora_modules(shapes, pattern).values())


def trained_parameters(transformer: Transformer, context: Context) -> int | None:
    """Return how many parameters the recipe's LoRA trains; None while the transformer's files are not here."""
    shapes = weight_shapes(transformer.source, context)
    if shapes is None:
        return None
    loras = (t for t in transformer.transformations if isinstance(t, LoRA))
    return sum(lora_parameters(shapes, lora.pattern, lora.rank) for lora in loras)


def weight_bytes(model: Model, context: Context) -> int | None:
    """Return the size of a part's weights in its dtype, in bytes; None while its files are not here.

    Transformations are not counted.
    """
    if not fetch.is_fetched(model.source, context):
        return None
    folder = fetch.folder_of(model.source, context)
    headers = (read_header(folder / name) for name in _weight_files(model.source, context))
    return sum(math.prod(shape) for header in headers for shape in header.shapes.values()) * _BYTES[model.dtype]


def file_bytes(source: Source) -> int:
    """Return the size of a part's files as its listing tells it, in bytes; 0 for a miniature."""
    return sum(size for _, size, _ in source.files)


def _weight_files(source: Source, context: Context) -> Iterator[str]:
    if source.kind != "tiny":
        yield from (name for name, _, _ in source.files if name.endswith(".safetensors"))
        return
    from vflow.nodes.families import family

    folder = fetch.folder_of(source, context)
    for sub in family(source.family).folders[source.part]:
        yield from sorted(f"{sub}/{file.name}" for file in (folder / sub).glob("*.safetensors"))


def _first_folder(source: Source) -> str:
    from vflow.nodes.families import family

    return family(source.family).folders[source.part][0]
