"""Layers that compute in float32 whatever surrounds them: time embeddings and modulation.

Their class keeps their weights in float32, and inference computes them so; training in mixed precision would round a
timestep's sines to 8 bits on the way in.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.transformers.transformer_kandinsky import Kandinsky5Modulation, Kandinsky5TimeEmbeddings


class TimeEmbeddings(Kandinsky5TimeEmbeddings):  # type: ignore[misc]
    """Time embeddings outside of autocast."""

    def forward(self, time: torch.Tensor) -> torch.Tensor:
        """Turn timesteps (B,) into embeddings (B, D)."""
        with torch.autocast(time.device.type, enabled=False):
            return super().forward(time)  # type: ignore[no-any-return]


class Modulation(Kandinsky5Modulation):  # type: ignore[misc]
    """Modulation outside of autocast."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Turn embeddings (B, D) into shifts, scales and gates (B, n * width)."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.out_layer.weight.dtype))  # type: ignore[no-any-return]


_PROTECTED: dict[type[Any], type[Any]] = {
    Kandinsky5TimeEmbeddings: TimeEmbeddings,
    Kandinsky5Modulation: Modulation,
}


def protect(model: torch.nn.Module) -> None:
    """Give the layers their protected classes; weights, names and what they compute stay the same."""
    for module in model.modules():
        module.__class__ = _PROTECTED.get(type(module), type(module))
