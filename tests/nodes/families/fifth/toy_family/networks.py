"""Three small networks as diffusers keeps them, and what is done with them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from torch import nn
from torch.nn import functional

from vflow.nodes.families.exchange import Prediction
from vflow.nodes.families.loading import load_network

_WORDS = 64


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(width, width) for _ in range(4))
        self.ff = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens, text):
        seen = torch.cat([self.norm(tokens), text], dim=1)
        mixed = functional.scaled_dot_product_attention(self.to_q(self.norm(tokens)), self.to_k(seen), self.to_v(seen))
        tokens = tokens + self.to_out(mixed)
        return tokens + self.ff(tokens)


class ToyDenoiser(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """Tokens (B, S, 4) at noise levels (B,) and text (B, L, 32) to velocities (B, S, 4)."""

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(self, channels: int = 4, width: int = 32, layers: int = 2):
        super().__init__()
        self.gradient_checkpointing = False
        self.inwards, self.outwards = nn.Linear(channels, width), nn.Linear(width, channels)
        self.time = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))

    def forward(self, latents, sigmas, text):
        tokens = self.inwards(latents) + self.time(sigmas[:, None])[:, None]
        for block in self.blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                tokens = self._gradient_checkpointing_func(block, tokens, text)
            else:
                tokens = block(tokens, text)
        return self.outwards(tokens)


class ToyVAE(ModelMixin, ConfigMixin):
    """Means over 8 x 8 pixels of pairs of frames (the first alone), three colours in four channels."""

    @register_to_config
    def __init__(self, channels: int = 4):
        super().__init__()
        self.mix = nn.Parameter(torch.linalg.qr(torch.randn(channels, 3))[0])

    def encode(self, pixels):
        doubled = torch.cat([pixels[:, :, :1], pixels], dim=2)
        return torch.einsum("kc,bcfhw->bkfhw", self.mix, functional.avg_pool3d(doubled, (2, 8, 8)))

    def decode(self, latents):
        pixels = torch.einsum("kc,bkfhw->bcfhw", self.mix, latents)
        return functional.interpolate(pixels, scale_factor=(2, 8, 8))[:, :, 1:]


class ToyText(ModelMixin, ConfigMixin):
    """A vector for each word, by its letters."""

    @register_to_config
    def __init__(self, width: int = 32):
        super().__init__()
        self.words = nn.Embedding(_WORDS, width)

    def encode(self, captions, tokens):
        numbers = torch.zeros(len(captions), tokens, dtype=torch.long)
        for row, caption in enumerate(captions):
            for place, word in enumerate(caption.split()[:tokens]):
                numbers[row, place] = sum(word.encode()) % (_WORDS - 1) + 1
        return [{"text": text} for text in self.words(numbers.to(self.device)).cpu()]


NETWORKS = {"transformer": ToyDenoiser, "vae": ToyVAE, "text_encoder": ToyText}


@dataclass
class Live:
    name: str
    network: Any

    def modules(self):
        return {self.name: self.network}


def load(part, folder, dtype):
    return Live(part, load_network(NETWORKS[part], folder, torch_dtype=getattr(torch, dtype)))


def network_of(live):
    return live.network if isinstance(live, Live) else live


def build(folder, seed):
    torch.manual_seed(seed)
    for part, network in NETWORKS.items():
        network().save_pretrained(folder / part)


def packed(latents):
    return latents.flatten(2).transpose(1, 2)


def predict(live, batch, sigmas, draws):
    clean, noise = packed(batch.latents), packed(draws.normal("noise", batch.latents.shape[1:]).to(batch.latents))
    levels = sigmas.to(clean)[:, None, None]
    said = network_of(live)((1 - levels) * clean + levels * noise, sigmas.to(clean), batch.embeddings["text"])
    return Prediction(said.float(), noise - clean, torch.ones_like(clean[..., :1]))


@torch.no_grad()
def draw(network, vae, request):
    shape = (1, 4, (request.frames - 1) // 2 + 1, request.height // 8, request.width // 8)
    latents = packed(torch.randn(shape, generator=torch.Generator().manual_seed(request.seed)))
    scheduler = FlowMatchEulerDiscreteScheduler(shift=request.options.get("shift", 1.0))
    scheduler.set_timesteps(request.steps)
    texts = torch.stack([request.negative["text"], request.embeddings["text"]])
    for number, timestep in enumerate(scheduler.timesteps):
        levels = torch.full((2,), float(timestep) / 1000)
        away, towards = network(latents.repeat(2, 1, 1), levels, texts).chunk(2)
        latents = scheduler.step(away + request.guidance * (towards - away), timestep, latents)[0]
        if request.on_step:
            request.on_step(number + 1, request.steps)
    pixels = vae.decode(latents.transpose(1, 2).reshape(shape))[0].permute(1, 2, 3, 0)
    return np.asarray(((pixels.clamp(-1, 1) + 1) * 127.5).round(), dtype=np.uint8)
