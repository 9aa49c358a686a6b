"""Sparse attention (NABLA) of the 10-second and HD checkpoints: which blocks of 64 tokens look at which.

The pipeline's own way hands a mask of blocks to flex attention, whose fused kernel exists only compiled: uncompiled it
computes every block and keeps all scores. So it is compiled here, tried once, and where it does not run attention is
dense, with a warning: slower, with more memory, and not quite what the checkpoint was trained with.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import Kandinsky5T2VPipeline
from diffusers.models.transformers.transformer_kandinsky import Kandinsky5AttnProcessor, nablaT_v2
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from vflow.engine.problems import Failure

#: (query, key, value), each (B, heads, S, D), and the mask of blocks -> (B, heads, S, D)
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, BlockMask], torch.Tensor]

#: tokens along either side of a block; a block is one of a single frame
_SIDE = 8
_BLOCK = _SIDE * _SIDE
# the kernels' tiles, forwards and backwards, have to divide the blocks
_TILES: Any = dict.fromkeys(("BLOCK_M", "BLOCK_N", "BLOCK_M1", "BLOCK_N1", "BLOCK_M2", "BLOCK_N2"), _BLOCK)


class SparseProcessor(Kandinsky5AttnProcessor):  # type: ignore[misc]
    """Self-attention within the blocks that NABLA chooses; without `sparse_params`, what diffusers does."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        rotary_emb: torch.Tensor | None = None,
        sparse_params: dict[str, Any] | None = None,
    ) -> torch.Tensor:
        """Attend; `hidden_states` (B, S, C) are in the order of blocks."""
        if sparse_params is None or encoder_hidden_states is not None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, rotary_emb, sparse_params)  # type: ignore[no-any-return]
        query, key, value = (
            layer(hidden_states).unflatten(-1, (attn.num_heads, -1))
            for layer in (attn.to_query, attn.to_key, attn.to_value)
        )
        query = _turned(attn.query_norm(query.float()).type_as(query), rotary_emb)
        key = _turned(attn.key_norm(key.float()).type_as(key), rotary_emb)
        with torch.autocast(query.device.type, enabled=False):  # which rounding there is decides which blocks are seen
            mask = nablaT_v2(query, key, sparse_params["sta_mask"], thr=sparse_params["P"])
        query, key, value = (tensor.transpose(1, 2).contiguous() for tensor in (query, key, value))
        said = self.kernel(query, key, value, mask).transpose(1, 2).flatten(-2)
        return attn.out_layer(said)  # type: ignore[no-any-return]


def _turned(tokens: torch.Tensor, rope: torch.Tensor | None) -> torch.Tensor:
    """Rotate pairs of channels of (B, S, heads, D); the result passes through bfloat16, as in diffusers."""
    if rope is None:
        return tokens
    pairs = tokens.float().unflatten(-1, (-1, 1, 2))
    turned: torch.Tensor = (rope * pairs).sum(-1).flatten(-2)
    return turned.to(torch.bfloat16).type_as(tokens)


def sparse_params(model: Any, sample: torch.Tensor, device: torch.device) -> dict[str, Any] | None:
    """Return what self-attention of a sample (B, f, h, w, C) goes by, as the pipeline builds it; None is dense.

    Raises:
        Failure: the sample's sides are no whole number of blocks.
    """
    if model.config.attention_type != "nabla":
        return None
    _check_size(model, *sample.shape[2:4])
    kernel = kernel_for(device.type, sum(model.config.axes_dims))
    if kernel is None:
        return None
    install(model, kernel)
    pipeline = SimpleNamespace(transformer=model, fast_sta_nabla=Kandinsky5T2VPipeline.fast_sta_nabla)
    params: dict[str, Any] = Kandinsky5T2VPipeline.get_sparse_params(pipeline, sample, device)
    return params


def install(model: Any, kernel: Kernel) -> None:
    """Let the video's self-attention use a kernel."""
    for block in model.visual_transformer_blocks:
        if getattr(block.self_attention.processor, "kernel", None) is not kernel:
            block.self_attention.set_processor(SparseProcessor(kernel))


def _check_size(model: Any, height: int, width: int) -> None:
    pixels = 8 * model.config.patch_size[1] * _SIDE
    if height * 8 % pixels or width * 8 % pixels:
        raise Failure(
            f"{width * 8} x {height * 8} pixels: this checkpoint of Kandinsky 5 Video has sparse attention (NABLA), "
            f"which takes multiples of {pixels}",
            f"use {_nearest(width * 8, pixels)} x {_nearest(height * 8, pixels)}",
        )


def _nearest(size: int, multiple: int) -> int:
    return max(round(size / multiple), 1) * multiple


@cache
def kernel_for(device: str, head_width: int) -> Kernel | None:
    """Return the compiled kernel, tried out on a kind of device; None, with a warning, where it does not run."""
    if device != "cuda":
        reason = f"there is no kernel for it on a {device}"
    else:
        kernel: Kernel = _compiled()
        try:
            _try_out(kernel, torch.device(device), head_width)
            return kernel
        except Exception as error:  # compilers fail in as many ways as there are machines
            reason = f"flex attention does not run here ({type(error).__name__}: {str(error).splitlines()[0]})"
    warnings.warn(
        f"Kandinsky 5 Video: this checkpoint's sparse attention (NABLA) is computed densely, since {reason}: "
        "slower, with more memory, and not quite what the checkpoint was trained with",
        stacklevel=2,
    )
    return None


def _compiled() -> Kernel:
    compiled = torch.compile(flex_attention, dynamic=True)

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: BlockMask) -> torch.Tensor:
        said: torch.Tensor = compiled(query, key, value, block_mask=mask, kernel_options=_TILES)
        return said

    return attend


def _try_out(kernel: Kernel, device: torch.device, head_width: int) -> None:
    """Run the kernel forwards and backwards on four blocks, and hold it against dense attention within a mask.

    Raises:
        ArithmeticError: it computes something else.
    """
    with torch.enable_grad(), torch.autocast(device.type, enabled=False), torch.random.fork_rng():
        shape = (1, 2, 4 * _BLOCK, head_width)
        generator = torch.Generator().manual_seed(0)
        drawn = [torch.randn(shape, generator=generator).to(device, torch.bfloat16) for _ in range(3)]
        allowed = torch.eye(4, dtype=torch.bool, device=device) | (torch.arange(4, device=device) == 0)
        said = []
        for attend in (kernel, dense_within):
            query, key, value = (tensor.clone().requires_grad_() for tensor in drawn)
            out = attend(query, key, value, mask_of(allowed.expand(1, 2, 4, 4)))
            (gradient,) = torch.autograd.grad(out.float().square().sum(), query)
            said.append((out.float(), gradient.float()))
    if not all(torch.allclose(ours, theirs, atol=0.1, rtol=0.1) for ours, theirs in zip(*said, strict=True)):
        raise ArithmeticError("the fused kernel disagrees with dense attention")


def mask_of(allowed: torch.Tensor) -> BlockMask:
    """Make a mask of blocks from which block looks at which, (B, heads, n, n) bool."""
    numbers = allowed.sum(-1).to(torch.int32)
    order = allowed.int().argsort(dim=-1, descending=True).to(torch.int32)
    return BlockMask.from_kv_blocks(torch.zeros_like(numbers), order, numbers, order, BLOCK_SIZE=_BLOCK, mask_mod=None)


def dense_within(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: BlockMask) -> torch.Tensor:
    """Attend within a mask of blocks by masking all scores: the same as the fused kernel, for what is small."""
    numbers, order = mask.full_kv_num_blocks, mask.full_kv_indices
    if numbers is None or order is None:
        raise ValueError("the mask has no whole blocks")
    chosen = torch.arange(order.shape[-1], device=order.device) < numbers[..., None]
    blocks = torch.zeros_like(chosen).scatter(-1, order.long(), chosen)
    whole = blocks.repeat_interleave(_BLOCK, -1).repeat_interleave(_BLOCK, -2)
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=whole)
