"""Joint attention without a mask of tokens times tokens.

diffusers' own processor builds such a mask in every block, 2.5 GB each for 50,000 tokens, which also rules out the fast
kernels. A mask over keys alone gives the same video tokens: what stands at invalid text tokens is never looked at. And
where no token is invalid, which is so for single captions without padding, no mask is needed at all.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_hunyuan_video15 import (
    HunyuanVideo15AttnProcessor2_0,
    HunyuanVideo15Transformer3DModel,
)


def install(model: HunyuanVideo15Transformer3DModel) -> None:
    """Give all joint attentions of the transformer the processor of this module; the text refiner keeps its own."""
    masks = _Masks()
    for block in model.transformer_blocks:
        block.attn.set_processor(JointAttention(masks))


class _Masks:
    """Tells of a mask whether it masks anything: looked at once for all blocks, since looking waits for the GPU."""

    def __init__(self) -> None:
        self._last: tuple[torch.Tensor, bool] | None = None

    def masks_nothing(self, mask: torch.Tensor) -> bool:
        """Tell whether every token is valid."""
        if self._last is None or self._last[0] is not mask:
            self._last = mask, bool(mask.all())
        return self._last[1]


class JointAttention(HunyuanVideo15AttnProcessor2_0):  # type: ignore[misc]  # diffusers is untyped
    """Attention of video and text tokens to each other, masked by keys where some text tokens are invalid."""

    def __init__(self, masks: _Masks) -> None:
        super().__init__()
        self._masks = masks

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend: video (B, S, D) and text (B, L, D), mask (B, L) of the text, 1 where valid; returns both."""

        def heads(tokens: Any) -> Any:
            return tokens.unflatten(2, (attn.heads, -1))

        video = hidden_states.shape[1]
        query = apply_rotary_emb(attn.norm_q(heads(attn.to_q(hidden_states))), image_rotary_emb, sequence_dim=1)
        key = apply_rotary_emb(attn.norm_k(heads(attn.to_k(hidden_states))), image_rotary_emb, sequence_dim=1)
        text_query = attn.norm_added_q(heads(attn.add_q_proj(encoder_hidden_states)))
        text_key = attn.norm_added_k(heads(attn.add_k_proj(encoder_hidden_states)))
        text_value = heads(attn.add_v_proj(encoder_hidden_states))
        seen = dispatch_attention_fn(
            torch.cat([query, text_query], dim=1),
            torch.cat([key, text_key], dim=1),
            torch.cat([heads(attn.to_v(hidden_states)), text_value], dim=1),
            attn_mask=self._mask(attention_mask, video),
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )
        seen = seen.flatten(2, 3).to(query.dtype)
        return attn.to_out[1](attn.to_out[0](seen[:, :video])), attn.to_add_out(seen[:, video:])

    def _mask(self, mask: torch.Tensor, video: int) -> torch.Tensor | None:
        if self._masks.masks_nothing(mask):
            return None
        return functional.pad(mask.bool(), (video, 0), value=True)[:, None, None]
