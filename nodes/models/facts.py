"""What plans say of models: parameters and bytes, counted from headers and configurations without loading anything."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.nodes.families.rules import ORIGINAL
from vflow.nodes.models import fetch
from vflow.nodes.models.headers import read_header
from vflow.nodes.models.trained import training_of
from vflow.nodes.models.weights import path_of
from vflow.nodes.values import Model, Source, Transformer

if TYPE_CHECKING:
    from vflow.engine.context import Context

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def weight_shapes(source: Source, context: Context) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of a part's tensors in its first sub-folder by name; None while its files are not here."""
    if not fetch.is_fetched(source, context):
        return None
    shapes: dict[str, tuple[int, ...]] = {}
    for name, file in weight_files(source, context):
        if name.startswith(f"{_first_folder(source)}/"):
            shapes |= shapes_in(source, name, file)
    return shapes


def shapes_in(source: Source, name: str, file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in one of a part's files of weights, by name.

    Of a file in the original layout they are those of the network alone, its linear layers by the names that they have
    in diffusers; all other names are those of the file.
    """
    from vflow.nodes.families import family

    shapes, known = read_header(file).shapes, family(source.family)
    folder, _, base = name.rpartition("/")
    single = known.single_files.get(folder) if base == ORIGINAL else None
    if single is None:
        return shapes
    found = {}
    for key, own in single.own(shapes).items():
        layer, dot, kind = own.rpartition(".")
        ours = known.layer_names.ours(layer) if folder == known.folders["transformer"][0] else ()
        found[f"{ours[0]}{dot}{kind}" if len(ours) == 1 else own] = shapes[key]
    return found


def lora_modules(shapes: dict[str, tuple[int, ...]], pattern: str) -> dict[str, tuple[int, ...]]:
    """Return name and weight shape of the linear layers whose whole name matches the pattern."""
    whole = re.compile(pattern)
    named = ((name.removesuffix(".weight"), shape) for name, shape in shapes.items() if name.endswith(".weight"))
    return {name: shape for name, shape in named if len(shape) == 2 and whole.fullmatch(name)}


def lora_parameters(shapes: dict[str, tuple[int, ...]], pattern: str, rank: int) -> int:
    """Return how many parameters a LoRA has: rank x (inputs + outputs) for every layer."""
    return sum(rank * (outputs + inputs) for outputs, inputs in lora_modules(shapes, pattern).values())


def trained_parameters(transformer: Transformer, context: Context) -> int | None:
    """Return how many parameters of the recipe train; None while the transformer's files are not here."""
    shapes, training = weight_shapes(transformer.source, context), training_of(transformer)
    return None if shapes is None else training.count(shapes) if training else 0


def weight_bytes(model: Model, context: Context) -> int | None:
    """Return the size of a part's weights in its dtype, in bytes; None while its files are not here.

    Transformations are not counted.
    """
    if not fetch.is_fetched(model.source, context):
        return None
    parts = (shapes_in(model.source, name, file) for name, file in weight_files(model.source, context))
    return sum(math.prod(shape) for shapes in parts for shape in shapes.values()) * _BYTES[model.dtype]


def file_bytes(source: Source) -> int:
    """Return the size of a part's files as its listing tells it, in bytes; 0 for a miniature."""
    return sum(size for _, size, _ in source.files) + sum(file_bytes(component) for _, component in source.components)


def weight_files(source: Source, context: Context) -> Iterator[tuple[str, Path]]:
    """Yield the name, relative to the model's folder, and the path of each file of weights."""
    if source.base is not None and source.weights is not None:
        network = _first_folder(source)
        files = ((f"{network}/{name}", path_of(blob, context)) for name, blob in source.weights.files)
        yield from ((name, file) for name, file in files if name.endswith(".safetensors"))
        yield from ((n, f) for n, f in weight_files(source.base, context) if not n.startswith(f"{network}/"))
        return
    if source.kind == "joined":
        for name, component in source.components:
            yield from ((f"{name}/{file.name}", file) for _, file in weight_files(component, context))
        return
    if source.kind != "tiny":
        folder = fetch.folder_of(source, context)
        yield from ((name, folder / name) for name, _, _ in source.files if name.endswith(".safetensors"))
        return
    from vflow.nodes.families import family

    folder = fetch.folder_of(source, context)
    for sub in family(source.family).folders[source.part]:
        yield from sorted((f"{sub}/{file.name}", file) for file in (folder / sub).glob("*.safetensors"))


def _first_folder(source: Source) -> str:
    from vflow.nodes.families import family

    return family(source.family).folders[source.part][0]
