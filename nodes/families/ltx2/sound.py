"""Sound: the log-mel front end that diffusers leaves out, encoding, and latents as tokens with their normalisation.

The front end is that of the model's authors: magnitudes of a short-time Fourier transform with a Hann window of 1024
samples, centred and reflected at the ends, through triangular filters on Slaney's mel scale (each of unit area), and
the logarithm of what is at least 1e-5. Rate, hop and number of filters stand in the audio VAE's configuration.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from vflow.nodes.families.loading import device_of
from vflow.nodes.families.ltx2.parts import VideoVAE

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTX2Audio

#: Samples that one column of the spectrogram looks at; no configuration in diffusers' layout tells it.
WINDOW = 1024
_FLOOR = 1e-5
#: Slaney's scale: even up to 1000 Hz, where it reaches 15 mel, then 27 mel for every factor of 6.4.
_BREAK_HZ, _BREAK_MEL, _PER_FACTOR, _FACTOR = 1000.0, 15.0, 27.0, 6.4


@torch.no_grad()
def encode(vae: VideoVAE, samples: torch.Tensor, seconds: float) -> torch.Tensor:
    """Encode sound (B, channels, N) in [-1, 1] to normalised tokens (B, L, C) float32, on the CPU.

    The posterior's mode is taken, as the official trainer does. L is what `LTX2Pipeline` draws for a clip of `seconds`:
    the encoder may say one token more, which is left out.
    """
    listener = vae.listener()
    config = listener.config
    tokens = token_count(seconds, listener)
    least = (tokens - 1) * listener.temporal_compression_ratio * config.mel_hop_length
    samples = torch.nn.functional.pad(samples, (0, max(0, max(least, WINDOW) - samples.shape[-1])))
    samples = samples.to(device_of(listener), torch.float32)
    mel = log_mel(samples, config.sample_rate, config.mel_hop_length, config.mel_bins)
    raw = listener.encode(mel.to(listener.dtype)).latent_dist.mode()
    return normalise(pack(raw.float())[:, :tokens], listener).cpu()


def token_count(seconds: float, vae: AutoencoderKLLTX2Audio) -> int:
    """Return how many tokens the sound of a clip has, as `LTX2Pipeline` counts them (25 for a second)."""
    rate: float = vae.config.sample_rate / vae.config.mel_hop_length / float(vae.temporal_compression_ratio)
    return round(seconds * rate)


def log_mel(samples: torch.Tensor, rate: int, hop: int, bins: int) -> torch.Tensor:
    """Return the log-mel spectrogram (B, channels, N // hop + 1, bins) of samples (B, channels, N), N > 512."""
    window = torch.hann_window(WINDOW, device=samples.device, dtype=samples.dtype)
    waves = torch.stft(
        samples.flatten(0, 1), WINDOW, hop, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    mel = waves.abs().transpose(1, 2) @ mel_filters(rate, bins).to(samples)
    return mel.clamp(min=_FLOOR).log().reshape(*samples.shape[:2], *mel.shape[1:])


@lru_cache(maxsize=4)
def mel_filters(rate: int, bins: int) -> torch.Tensor:
    """Return the filters (513, bins), float64: triangles over frequencies up to half the rate, each of unit area."""
    frequencies = torch.linspace(0, rate / 2, WINDOW // 2 + 1, dtype=torch.float64)
    edges = _hertz(torch.linspace(0, _mel(rate / 2), bins + 2, dtype=torch.float64))
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - left) / (middle - left)
    falling = (right - frequencies[:, None]) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0) * 2 / (right - left)


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Turn latents (B, c, L, m) into tokens (B, L, c*m): a token holds all of a moment, channel by channel."""
    return latents.transpose(1, 2).flatten(2)


def normalise(tokens: torch.Tensor, vae: AutoencoderKLLTX2Audio) -> torch.Tensor:
    """Return (tokens - mean) / std; the statistics are those of tokens (B, L, C), not of the VAE's channels."""
    mean: torch.Tensor = vae.latents_mean.to(tokens)
    std: torch.Tensor = vae.latents_std.to(tokens)
    return (tokens - mean) / std


def _mel(hertz: float) -> float:
    if hertz < _BREAK_HZ:
        return hertz * _BREAK_MEL / _BREAK_HZ
    return _BREAK_MEL + math.log(hertz / _BREAK_HZ) * _PER_FACTOR / math.log(_FACTOR)


def _hertz(mel: torch.Tensor) -> torch.Tensor:
    above = _BREAK_HZ * torch.exp((mel - _BREAK_MEL) * math.log(_FACTOR) / _PER_FACTOR)
    return torch.where(mel < _BREAK_MEL, mel * _BREAK_HZ / _BREAK_MEL, above)
