"""How much memory of a GPU a training takes, estimated from sizes alone. Light.

Three things lie on the card: the weights (or, offloaded, the blocks that are there at once), what trains (weights,
gradients, two moments), and activations: with gradient checkpointing the input of every block and the inside of one,
without it the insides of all. Tokens, width, blocks and bytes in a block are the family's `Anatomy`. The estimate is
meant to tell 20 from 40 GiB, not 20 from 22.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from vflow.nodes.families.rules import Anatomy, VideoRules
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.device import has_accelerator
from vflow.nodes.models.offload import GroupOffloading
from vflow.nodes.models.trained import training_of
from vflow.nodes.values import Transformer

GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
#: the driver, the allocator's gaps, and what stands outside the blocks' weights
_ALWAYS = 1.0 * GIB
#: matrices of a block that a LoRA on attention lies beside: queries, keys, values, outputs of two attentions
_ADAPTED = 8


@dataclass(frozen=True)
class Need:
    """Bytes on the GPU, by what they hold."""

    weights: float
    trained: float
    activations: float

    @property
    def total(self) -> float:
        """All of it, with what is always there."""
        return self.weights + self.trained + self.activations + _ALWAYS


def tokens_of(rules: VideoRules, anatomy: Anatomy, size: tuple[int, int, int]) -> int:
    """Return how many tokens a clip of (frames, height, width) is for the transformer."""
    frames, height, width = rules.latent_shape(*size)
    return frames * (height // anatomy.patch) * (width // anatomy.patch)


def of_training(
    transformer: Transformer,
    anatomy: Anatomy,
    tokens: int,
    *,
    trained_bytes: int,
    checkpointing: bool = True,
    full_precision: bool = False,
    trained: int | None = None,
) -> Need:
    """Estimate a training on batches of so many tokens in all.

    `trained_bytes` are those of one parameter that trains, with its gradient and moments; `trained` is how many there
    are, where that is known.
    """
    adapter = next((t for t in transformer.transformations if isinstance(t, LoRA)), None)
    if trained is None:
        # rank x (inputs + outputs) of the attention's matrices
        own = _ADAPTED * 2 * anatomy.width * anatomy.blocks
        trained = adapter.rank * own if adapter else round(anatomy.parameters)
    # weights that train themselves are counted with their gradients and moments
    frozen = anatomy.parameters - (0 if adapter or training_of(transformer) is None else trained)
    element = 4 if full_precision else 2
    inside = anatomy.block_bytes * element / 2 * anatomy.width * tokens
    inputs = anatomy.blocks * anatomy.width * tokens * element
    return Need(
        weights=max(frozen, 0.0) * _BYTES[transformer.dtype] * _share_on_card(transformer, anatomy),
        trained=float(trained * trained_bytes),
        activations=inputs + inside if checkpointing else anatomy.blocks * inside,
    )


def _share_on_card(transformer: Transformer, anatomy: Anatomy) -> float:
    """Return the share of the weights that is on the GPU at once: under an offload, two groups of blocks."""
    for offload in transformer.transformations:
        if isinstance(offload, GroupOffloading):
            blocks = offload.blocks_per_group if offload.level == "block" else 1
            return min(1.0, 2 * blocks / anatomy.blocks)
    return 1.0


@cache
def card() -> float | None:
    """Return the bytes of this machine's smallest visible GPU, from its driver; None where it says nothing."""
    if not has_accelerator():
        return None
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        return min(float(line) for line in said.splitlines()) * 2**20
    return None
