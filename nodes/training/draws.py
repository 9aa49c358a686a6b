"""Counted randomness: every draw comes from what it is for, never from what was drawn before.

So nothing has to be saved to go on: a resumed run, or one spread over several processes, draws the same numbers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch


class CountedDraws:
    """The draws of one micro-step: each from (seed, step, position in the global batch, purpose).

    `positions` name the samples of the batch: their places in the global batch while training, their rows when the
    noise is to belong to the sample. All results are float32 on the CPU, one row per position.
    """

    def __init__(self, seed: int, step: int, positions: Sequence[int | str]) -> None:
        self._prefixes = [f"{seed}/{step}/{position}/" for position in positions]
        self._generator = torch.Generator()

    def normal(self, purpose: str, shape: Sequence[int]) -> torch.Tensor:
        """Draw standard normals of shape (B, *shape)."""
        drawn = torch.empty(len(self._prefixes), *shape)
        for prefix, row in zip(self._prefixes, drawn.view(len(self._prefixes), -1), strict=True):
            row.normal_(generator=self._seeded(prefix + purpose))
        return drawn

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> torch.Tensor:
        """Draw uniforms in [0, 1) of shape (B, *shape)."""
        drawn = torch.empty(len(self._prefixes), *shape)
        for prefix, row in zip(self._prefixes, drawn.view(len(self._prefixes), -1), strict=True):
            row.uniform_(generator=self._seeded(prefix + purpose))
        return drawn

    def _seeded(self, name: str) -> torch.Generator:
        return self._generator.manual_seed(counted_seed(name))


def counted_seed(name: str) -> int:
    """Return the seed that belongs to a name: 63 bits of its hash (of which torch's CPU generator uses 32)."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") >> 1


def chance(probability: float, *name: object) -> bool:
    """Decide something of this probability from its name alone, without a generator."""
    number = counted_seed("/".join(map(str, name)))
    return number < math.ldexp(probability, 63)


def seed_globals(seed: int, micro_step: int, device: torch.device) -> None:
    """Seed torch's global generators for one micro-step: dropout draws from them."""
    number = counted_seed(f"{seed}/{micro_step}/global")
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(number)
