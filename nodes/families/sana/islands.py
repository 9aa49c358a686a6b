"""What the transformer computes in float32 whatever surrounds it: the sums over all tokens of its linear attention.

Its class turns queries, keys and values into float32 for them, at inference and as its authors train. Under autocast,
the products of those would be computed in bfloat16 all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from diffusers.models.transformers.transformer_sana_video import SanaLinearAttnProcessor3_0


class LinearAttention(SanaLinearAttnProcessor3_0):  # type: ignore[misc]  # diffusers is untyped
    """Linear attention whose products are outside of autocast; its layers stay inside."""

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        rotary_emb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend, (B, S, D) to (B, S, D), as the class does without autocast."""
        kind = hidden_states.device.type
        if torch.is_autocast_enabled(kind):
            attn = _under_autocast(attn, kind, torch.get_autocast_dtype(kind))
        with torch.autocast(kind, enabled=False):
            return super().__call__(  # type: ignore[no-any-return]
                attn, hidden_states, encoder_hidden_states, attention_mask, rotary_emb
            )


def protect(model: torch.nn.Module) -> None:
    """Give the linear attentions the processor of this module; weights, names and what they compute stay the same."""
    for module in model.modules():
        if type(getattr(module, "processor", None)) is SanaLinearAttnProcessor3_0:
            module.set_processor(LinearAttention())  # type: ignore[operator]


def _under_autocast(attn: Any, kind: str, dtype: torch.dtype) -> Any:
    """Return what the processor asks of an attention, with layers that compute under autocast."""

    def within(layer: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
        def compute(tokens: torch.Tensor) -> torch.Tensor:
            with torch.autocast(kind, dtype):
                return layer(tokens)  # type: ignore[no-any-return]

        return None if layer is None else compute

    names = ("to_q", "to_k", "to_v", "norm_q", "norm_k")
    layers: dict[str, Any] = {name: within(getattr(attn, name)) for name in names}
    return SimpleNamespace(heads=attn.heads, to_out=[within(layer) for layer in attn.to_out], **layers)
