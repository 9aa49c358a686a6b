"""Tensors as safetensors bytes and back: equal tensors give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def to_bytes(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return the safetensors file of these tensors, moved to the CPU.

    No metadata is written: the library puts metadata keys in an order that is random per process.
    """
    from safetensors.torch import save

    return bytes(save({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}))


def read(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file, memory-mapped: nothing is copied before it is used.

    Raises:
        safetensors.SafetensorError: the file is damaged.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


def kept_as(tensor: torch.Tensor, dtype: str) -> torch.Tensor:
    """Return floating-point values as `float32` or `bfloat16`; any other `dtype` and masks are left as they are."""
    import torch

    wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(dtype)
    return tensor.to(wanted) if wanted is not None and tensor.is_floating_point() else tensor
