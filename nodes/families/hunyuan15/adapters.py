"""Adapters on disk, as `transformer.load_lora_adapter(..., prefix=None)` reads them: the pipelines have no loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vflow.nodes.families import adapters
from vflow.nodes.families.hunyuan15.declaration import HunyuanVideo15
from vflow.nodes.families.hunyuan15.parts import unwrapped
from vflow.nodes.models.headers import read_header

#: ours have none; other tools put one before the names of the transformer's layers
_PREFIXES = ("transformer.", "diffusion_model.", "unet.")


def save(live: Any, folder: Path) -> Path:
    """Write the transformer's adapter and return the file; see `adapters.save`."""
    return adapters.save(unwrapped(live), folder, prefix="")


def load(live: Any, file: Path, weight: float) -> None:
    """Put an adapter onto the transformer, whatever prefix its layers have; see `adapters.load`."""
    names = list(read_header(file).shapes)
    prefix = next((found for found in _PREFIXES if names and all(name.startswith(found) for name in names)), "")
    adapters.load(unwrapped(live), file, weight, HunyuanVideo15.title, prefix=prefix)
