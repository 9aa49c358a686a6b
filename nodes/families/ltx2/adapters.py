"""Adapters on disk, in the form that `LTX2Pipeline.load_lora_weights` reads, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers.loaders.lora_pipeline import LTX2LoraLoaderMixin

from vflow.nodes.families import adapters
from vflow.nodes.families.ltx2.parts import unwrapped


def save(live: Any, folder: Path) -> Path:
    """Write the transformer's adapter and return the file; see `adapters.save`."""
    return adapters.save(unwrapped(live), folder)


def load(live: Any, file: Path, weight: float) -> None:
    """Put an adapter onto the transformer; see `adapters.load`. Files of the original code name modules otherwise."""
    adapters.load(unwrapped(live), file, weight, "LTX Video 2", LTX2LoraLoaderMixin.lora_state_dict)
