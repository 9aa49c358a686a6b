"""Networks and tokenizers from a checkpoint's folders, by `from_pretrained` of the real classes, and where they run.

What every family needs of it, whatever its parts are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.hooks.group_offloading import _get_group_onload_device
from transformers.utils import logging

from vflow.engine.problems import Failure


def load_network(
    kind: Any, folder: Path, unused: tuple[str, ...] = (), reshaped: tuple[str, ...] = (), **arguments: Any
) -> Any:
    """Load a network, frozen, in evaluation mode; weights that the files lack would else stay random without a word.

    `unused` are beginnings of names that may be missing; `reshaped` are names that may have another shape in the files,
    which the caller then puts right. `arguments` go to `from_pretrained`.

    Raises:
        Failure: a file is missing, is no safetensors, or lacks weights of the class, or has others under their names.
    """
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


def device_of(module: torch.nn.Module) -> torch.device:
    """Return where a module computes: with group offload that is not where its weights lie between uses."""
    try:
        return torch.device(_get_group_onload_device(module))
    except ValueError:
        return next(module.parameters()).device
