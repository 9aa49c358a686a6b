"""Adapters on disk, in the form that `Kandinsky5T2VPipeline.load_lora_weights` reads, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vflow.nodes.families import adapters
from vflow.nodes.families.adapters import Tensors
from vflow.nodes.families.kandinsky5.parts import unwrapped

_FOREIGN = "diffusion_model."


def save(live: Any, folder: Path) -> Path:
    """Write the transformer's adapter and return the file; see `adapters.save`."""
    return adapters.save(unwrapped(live), folder)


def load(live: Any, file: Path, weight: float) -> None:
    """Put an adapter onto the transformer; see `adapters.load`."""
    adapters.load(unwrapped(live), file, weight, "Kandinsky 5 Video", _renamed)


def _renamed(tensors: Tensors) -> Tensors:
    """Take the prefix that ComfyUI writes; where other programs name the modules as diffusers does, that is all."""
    return {
        adapters.PREFIX + name.removeprefix(_FOREIGN) if name.startswith(_FOREIGN) else name: tensor
        for name, tensor in tensors.items()
    }
