"""Networks and tokenizers from a checkpoint's folders, by `from_pretrained` of the real classes, and where they run.

What every family needs of it, whatever its parts are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.hooks.group_offloading import _get_group_onload_device
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.utils import logging

from vflow.engine.problems import Failure
from vflow.nodes.families import recognise
from vflow.nodes.families.rules import ORIGINAL


def load_network(
    kind: Any, folder: Path, unused: tuple[str, ...] = (), reshaped: tuple[str, ...] = (), **arguments: Any
) -> Any:
    """Load a network, frozen, in evaluation mode; weights that the files lack would else stay random without a word.

    `unused` are beginnings of names that may be missing; `reshaped` are names that may have another shape in the files,
    which the caller then puts right. `arguments` go to `from_pretrained`.

    Raises:
        Failure: a file is missing, is no safetensors, or lacks weights of the class, or has others under their names.
    """
    if (folder / ORIGINAL).is_file():
        return _load_original(kind, folder, **arguments).requires_grad_(False).eval()
    if reshaped:
        arguments["ignore_mismatched_sizes"] = True
    module, report = read(kind, folder, use_safetensors=True, output_loading_info=True, **arguments)
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(unused))
    if missing:
        raise Failure(
            f"{folder} lacks {len(missing)} weights of {kind.__name__} ({missing[0]}, ...)",
            "fetch the checkpoint again, or point `model` to a complete one",
        )
    other = sorted(str(key[0]) for key in report["mismatched_keys"] if key[0] not in reshaped)
    if other:
        raise Failure(
            f"{folder} has {len(other)} weights of other shapes than {kind.__name__} ({other[0]}, ...)",
            "fetch the checkpoint again: its config.json is of another model",
        )
    return module.requires_grad_(False).eval()


def _load_original(kind: Any, folder: Path, **arguments: Any) -> Any:
    """Load a network from one file in the original layout, with the configuration beside it.

    diffusers would leave weights that the file lacks as they are made, and pass over what it does not know: quantised
    files have scales besides their weights.
    """
    file = folder / ORIGINAL
    try:
        given = as_diffusers(kind, folder, load_file(file))
        with torch.device("meta"):
            wanted = kind.from_config(kind.load_config(folder, local_files_only=True)).state_dict()
        for names, what in ((wanted.keys() - given.keys(), "lacks"), (given.keys() - wanted.keys(), "has besides")):
            if names:
                raise Failure(
                    f"{file.resolve()} {what} {len(names)} weights of {kind.__name__} ({min(names)}, ...)",
                    "give a whole file that is not quantised, and the `config` that goes with it",
                )
        return kind.from_single_file(given, config=str(folder), local_files_only=True, **arguments)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise Failure(
            f"{kind.__name__} does not load from {file.resolve()}: {error}",
            "give a whole file of this model, and the `config` that goes with it",
        ) from error


def as_diffusers(kind: Any, folder: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return those tensors of a file in the original layout that are the network's, by the names of its class.

    `folder` holds the network's configuration.
    """
    found = recognise(kind.__name__)
    single = found[0].single_files.get(found[0].folders[found[1]][0]) if found else None
    own = single.own(tensors) if single else {name: name for name in tensors}
    convert = SINGLE_FILE_LOADABLE_CLASSES[kind.__name__]["checkpoint_mapping_fn"]
    config = kind.load_config(folder, local_files_only=True)
    renamed: dict[str, torch.Tensor] = convert(
        checkpoint={bare: tensors[name] for name, bare in own.items()}, config=config
    )
    return renamed


def original_shapes(kind: Any, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's tensors by the names of its class, from those in a file of the original layout.

    `folder` holds the network's configuration.
    """
    hollow = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    return {name: tuple(tensor.shape) for name, tensor in as_diffusers(kind, folder, hollow).items()}


def class_of(kinds: Sequence[type], folder: Path) -> type:
    """Return the class among some that a folder's configuration names; the first where it names none.

    Raises:
        Failure: it names another, or is no JSON.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        name = config.get("_class_name") or (config.get("architectures") or [kinds[0].__name__])[0]
    except (OSError, ValueError, AttributeError) as error:
        raise Failure(f"{folder / 'config.json'} does not load: {error}", "fetch the checkpoint again") from error
    found = next((kind for kind in kinds if kind.__name__ == name), None)
    if found is None:
        raise Failure(f"{folder} holds a {name}", f"known: {', '.join(kind.__name__ for kind in kinds)}")
    return found


def read(kind: Any, folder: Path, **arguments: Any) -> Any:
    """Read anything that has `from_pretrained`, from this machine only.

    Raises:
        Failure: it does not load.
    """
    try:
        with without_bars():
            return kind.from_pretrained(folder, local_files_only=True, **arguments)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise Failure(
            f"{kind.__name__} does not load from {folder}: {error}",
            "fetch the checkpoint again; only safetensors files are opened",
        ) from error


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars of its own into the run's."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def unwrapped(module: Any, kind: type[torch.nn.Module]) -> Any:
    """Return the network of class `kind` below whatever wraps it (data parallelism, compilation)."""
    while not isinstance(module, kind):
        module = module._orig_mod if hasattr(module, "_orig_mod") else module.module
    return module


def stays_float32(module: torch.nn.Module, name: str) -> bool:
    """Tell whether a parameter of this name is float32 whatever type its network is loaded as, by the class's word."""
    kept = getattr(module, "_keep_in_fp32_modules", None) or ()
    return any(part in kept for part in name.split("."))


def device_of(module: torch.nn.Module) -> torch.device:
    """Return where a module computes: with group offload that is not where its weights lie between uses."""
    try:
        return torch.device(_get_group_onload_device(module))
    except ValueError:
        return next(module.parameters()).device
