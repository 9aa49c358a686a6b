"""The miniature, built once, and small tools that several test files share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
import torch

from vflow.nodes.families.exchange import Batch
from vflow.nodes.families.ltx2 import FAMILY

FPS, FRAMES, HEIGHT, WIDTH = 25.0, 17, 64, 96


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The folder of the miniature."""
    folder = tmp_path_factory.mktemp("ltx2")
    FAMILY.build_miniature(folder, 0)
    return folder


@pytest.fixture
def denoiser(checkpoint):
    return FAMILY.load("transformer", checkpoint, "float32")


@pytest.fixture(scope="session")
def vae(checkpoint):
    return FAMILY.load("vae", checkpoint, "float32")


@pytest.fixture(scope="session")
def text_stack(checkpoint):
    return FAMILY.load("text_encoder", checkpoint, "float32")


class SeededDraws:
    """Draws of a batch of B, each from a seed and its purpose."""

    def __init__(self, batch: int, seed: int = 0) -> None:
        self.batch, self.seed = batch, seed

    def _generator(self, purpose: str) -> torch.Generator:
        name = hashlib.sha256(f"{self.seed}/{purpose}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(name[:4], "big"))

    def normal(self, purpose: str, shape: Sequence[int]) -> torch.Tensor:
        return torch.randn((self.batch, *shape), generator=self._generator(purpose))

    def uniform(self, purpose: str, shape: Sequence[int] = ()) -> torch.Tensor:
        return torch.rand((self.batch, *shape), generator=self._generator(purpose))


class GivenNoise(SeededDraws):
    """Draws whose noise is given, (B, C, f, h, w)."""

    def __init__(self, noise: torch.Tensor) -> None:
        super().__init__(len(noise))
        self.noise = noise

    def normal(self, purpose: str, shape: Sequence[int]) -> torch.Tensor:
        return self.noise if tuple(shape) == tuple(self.noise.shape[1:]) else super().normal(purpose, shape)


def drawn_clip(colour: Sequence[float], step: int, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """A square that crosses a dark ground: (1, 3, 17, H, W) in [-1, 1]."""
    clip = torch.full((1, 3, FRAMES, height, width), -0.7)
    for frame in range(FRAMES):
        left, top = (frame * step, 20) if step > 0 else (20, -frame * step)
        clip[0, :, frame, top : top + 20, left : left + 20] = torch.tensor(colour)[:, None, None]
    return clip


def batch_of(latents: torch.Tensor, embeddings: Sequence[dict[str, torch.Tensor]]) -> Batch:
    """Make a batch from latents (B, C, f, h, w) and one embedding per row."""
    stacked = {name: torch.stack([row[name] for row in embeddings]) for name in embeddings[0]}
    frames, height, width = latents.shape[2:]
    return Batch(latents, stacked, (frames - 1) * 8 + 1, height * 32, width * 32, FPS)
