"""A checkpoint's configurations and headers against the classes that load them, without loading anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import ModelMixin
from transformers.utils import logging

from vflow.engine.rehearsal import Check, failed, passed, skipped
from vflow.nodes.families.loading import class_of, original_shapes, without_bars
from vflow.nodes.families.rules import ORIGINAL
from vflow.nodes.models import facts, fetch
from vflow.nodes.models.headers import read_header
from vflow.nodes.rehearsal.checking import guarded, listed

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.nodes.families.parity import Parity
    from vflow.nodes.values import Model

Shapes = Mapping[str, tuple[int, ...]]

_AGAIN = "fetch the checkpoint again, or point `model` to one whose config.json and weights belong together"


def checks(context: RehearsalContext, recipe: Model) -> Iterator[Check]:
    """Check the configurations and the weights of a part."""
    parity = recipe.family.parity()
    if parity is None:
        yield skipped("weights", f"{recipe.family.title} does not say what it expects of a checkpoint")
        return
    folder = fetch.folder_of(recipe.source, context)
    yield from guarded("configuration", context, _configurations(recipe, parity, folder))
    yield from guarded("weights", context, _weights(recipe, parity, folder, context))


def _configurations(recipe: Model, parity: Parity, folder: Path) -> Iterator[Check]:
    wrong: list[str] = []
    unknown: list[str] = []
    for sub in _networks(recipe, parity):
        config = json.loads((folder / sub / "config.json").read_bytes())
        for name, values in parity.expected.get(sub, {}).items():
            found = config.get(name, "missing")
            if found not in values:
                wrong.append(f"{sub}: {name} is {found!r} instead of {' or '.join(map(repr, values))}")
        unknown += [f"{sub}: {name}" for name in _ignored(_class_of(parity, folder, sub), config)]
    if wrong:
        yield failed(
            "configuration", listed(wrong), f"this is no checkpoint that {recipe.family.title} knows; {_AGAIN}"
        )
        return
    note = f"; entries that the classes pass over: {listed(unknown)}" if unknown else ""
    yield passed("configuration", f"as {recipe.family.title} expects{note}")


def _weights(recipe: Model, parity: Parity, folder: Path, context: RehearsalContext) -> Iterator[Check]:
    wrong: list[str] = []
    count = 0
    files = list(facts.weight_files(recipe.source, context))
    for sub in _networks(recipe, parity):
        kind, shapes = _class_of(parity, folder, sub), dict[str, tuple[int, ...]]()
        for name, file in files:
            if name == f"{sub}/{ORIGINAL}":
                shapes |= original_shapes(kind, folder / sub, read_header(file).shapes)
            elif name.startswith(f"{sub}/"):
                shapes |= read_header(file).shapes
        count += len(shapes)
        given = (_of_diffusers if issubclass(kind, ModelMixin) else _of_transformers)(kind, folder / sub, shapes)
        unused, reshaped = parity.unused.get(sub, ()), parity.reshaped.get(sub, ())
        wrong += [f"{sub}: {line}" for line in _differences(*given, unused=unused, reshaped=reshaped)]
    if wrong:
        yield failed("weights", listed(wrong), _AGAIN)
    else:
        yield passed("weights", f"{count:,} tensors have the names and shapes of their classes")


def _networks(recipe: Model, parity: Parity) -> list[str]:
    """Return the sub-folders of a part that hold a network."""
    return [sub for sub in recipe.family.folders[recipe.part] if sub in parity.networks]


def _class_of(parity: Parity, folder: Path, sub: str) -> Any:
    kinds = parity.networks[sub]
    return kinds[0] if len(kinds) == 1 else class_of(kinds, folder / sub)


def _ignored(kind: Any, config: Mapping[str, Any]) -> list[str]:
    """Return the entries that a class of diffusers passes over; those of transformers keep whatever there is."""
    if not issubclass(kind, ModelMixin):
        return []
    known = kind._get_init_keys(kind)
    return [name for name in config if not name.startswith("_") and name not in known]


def _of_diffusers(kind: Any, folder: Path, shapes: Shapes) -> tuple[set[str], set[str], dict[str, str]]:
    """Return which weights the files lack, have besides, and have of another shape, in words."""
    with torch.device("meta"):
        model = kind.from_config(kind.load_config(folder, local_files_only=True))
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    other = {
        name: f"{shapes[name]} instead of {shape}"
        for name, shape in wanted.items()
        if name in shapes and shapes[name] != shape
    }
    return wanted.keys() - shapes.keys(), shapes.keys() - wanted.keys(), other


def _of_transformers(kind: Any, folder: Path, shapes: Shapes) -> tuple[set[str], set[str], dict[str, str]]:
    """Return the same as the class's own loader tells it, which knows how weights were named before."""
    config = kind.config_class.from_pretrained(folder, local_files_only=True)
    hollow = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    with _silence(), without_bars():
        _, told = kind.from_pretrained(
            None,
            config=config,
            state_dict=hollow,
            device_map={"": "meta"},
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    other = {name: f"{tuple(found)} instead of {tuple(wanted)}" for name, found, wanted in told["mismatched_keys"]}
    return set(told["missing_keys"]), set(told["unexpected_keys"]), other


def _differences(
    missing: set[str], besides: set[str], other: dict[str, str], unused: tuple[str, ...], reshaped: tuple[str, ...]
) -> Iterator[str]:
    lacking = sorted(name for name in missing if not name.startswith(unused))
    if lacking:
        yield f"{len(lacking)} are missing ({listed(lacking)})"
    unknown = sorted(name for name in besides if not name.startswith(unused))
    if unknown:
        yield f"{len(unknown)} are unexpected ({listed(unknown)})"
    shaped = sorted(f"{name} {words}" for name, words in other.items() if name not in reshaped)
    if shaped:
        yield f"{len(shaped)} have other shapes ({listed(shaped)})"


@contextmanager
def _silence() -> Iterator[None]:
    """Keep transformers from printing the report that is asked for here."""
    level = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(level)
