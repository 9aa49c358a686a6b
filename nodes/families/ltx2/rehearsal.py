"""How LTX Video 2 is held against `LTX2Pipeline`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLLTX2Audio, AutoencoderKLLTX2Video, LTX2Pipeline, LTX2VideoTransformer3DModel
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder, LTX2VocoderWithBWE
from transformers import Gemma3ForConditionalGeneration, Gemma4UnifiedForConditionalGeneration, GemmaTokenizer

from vflow.nodes.families import parity
from vflow.nodes.families.exchange import Batch, Draws
from vflow.nodes.families.loading import device_of, read
from vflow.nodes.families.ltx2 import latents, sound, text
from vflow.nodes.families.ltx2.parts import UNUSED, TextStack
from vflow.nodes.families.parity import GivenDraws, difference, noise_between

#: arguments that say the same in the pipeline and in training, and those that only count with sound
_PLAIN = ("num_frames", "height", "width", "fps", "use_cross_timestep", "return_dict")
_VIDEO = ("hidden_states", "encoder_hidden_states", "encoder_attention_mask", "timestep", "sigma")
_AUDIO = (*(f"audio_{name}" for name in _VIDEO), "audio_num_frames")


class Parity(parity.Parity):
    """What has to be equal, and where silent clips differ on purpose: their training keeps the two streams apart."""

    networks: Mapping[str, tuple[Any, ...]] = {
        "transformer": (LTX2VideoTransformer3DModel,),
        "vae": (AutoencoderKLLTX2Video,),
        "audio_vae": (AutoencoderKLLTX2Audio,),
        "vocoder": (LTX2Vocoder, LTX2VocoderWithBWE),
        "text_encoder": (Gemma3ForConditionalGeneration, Gemma4UnifiedForConditionalGeneration),
        "connectors": (LTX2TextConnectors,),
    }
    unused = {"text_encoder": UNUSED}
    # the class's own default is another rotary embedding, which no published checkpoint has
    expected = {"transformer": {"rope_type": ("split",)}}

    def encode_prompt(
        self, stack: TextStack, folder: Path, prompt: str, negative: bool, tokens: int | None
    ) -> dict[str, torch.Tensor]:
        """Return what `encode_prompt` and the connectors make of a prompt."""
        pipeline = LTX2Pipeline(
            scheduler=None,
            vae=None,
            audio_vae=None,
            text_encoder=stack.text_encoder,
            tokenizer=read(GemmaTokenizer, folder / "tokenizer"),
            connectors=stack.connectors,
            transformer=None,
            vocoder=None,
        )
        stacked, mask, _, _ = pipeline.encode_prompt(
            prompt,
            do_classifier_free_guidance=False,
            max_sequence_length=text.sequence_length(stack, tokens),
            device=device_of(stack.text_encoder),
        )
        there = device_of(stack.connectors)
        said = stack.connectors(stacked.to(there), mask.to(there), padding_side=pipeline.tokenizer.padding_side)
        return dict(zip(("video", "audio", "mask"), (tensor[0].cpu() for tensor in said), strict=True))

    def raw_latents(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Undo normalisation by the statistics in the VAE's buffers."""
        model = vae.vae
        raw: torch.Tensor = LTX2Pipeline._denormalize_latents(
            latents, model.latents_mean.cpu(), model.latents_std.cpu(), model.config.scaling_factor
        )
        return raw

    def raw_sound(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        """Undo normalisation by the statistics in the audio VAE's buffers, and packing, to (B, c, L, m)."""
        listener = vae.listener()
        bins = listener.config.mel_bins // listener.mel_compression_ratio
        raw = LTX2Pipeline._denormalize_audio_latents(
            latents, listener.latents_mean.float().cpu(), listener.latents_std.float().cpu()
        )
        unpacked: torch.Tensor = LTX2Pipeline._unpack_audio_latents(raw, latents.shape[1], num_mel_bins=bins)
        return unpacked

    def heard(self, vae: Any, samples: torch.Tensor, seconds: float) -> torch.Tensor:
        """Return the mode of the audio VAE's posterior, (B, c, L, m)."""
        listener = vae.listener()
        config = listener.config
        samples = samples.to(device_of(listener), torch.float32)
        mel = sound.log_mel(samples, config.sample_rate, config.mel_hop_length, config.mel_bins)
        raw = listener.encode(mel.to(listener.dtype)).latent_dist.mode()
        said: torch.Tensor = raw[:, :, : sound.token_count(seconds, listener)].float().cpu()
        return said

    def as_trained(self, given: Mapping[str, Any], batch: Batch) -> Mapping[str, Any]:
        """Keep the streams of a silent clip apart: the pipeline draws sound along."""
        return given if batch.audio is not None else {**given, "isolate_modalities": True}

    def noised(self, given: Mapping[str, Any], batch: Batch) -> torch.Tensor:
        """Unpack the video's tokens."""
        return latents.unpack(given["hidden_states"], batch.latents.shape[2:])

    def draws(self, given: Mapping[str, Any], batch: Batch, sigma: float) -> Draws:
        """Return the draws of both streams."""
        drawn = {"noise": noise_between(self.noised(given, batch), batch.latents, sigma)}
        if batch.audio is not None and given["audio_hidden_states"].shape == batch.audio.shape:
            drawn["audio noise"] = noise_between(given["audio_hidden_states"], batch.audio, sigma)
        return GivenDraws(drawn)

    def differences(
        self, ours: Mapping[str, Any], theirs: Mapping[str, Any], batch: Batch, model: Any
    ) -> Iterator[str]:
        """Compare the video's stream, the sound's where there is some, and whether the two are kept apart."""
        # where the pipeline says nothing of the sound's time, the transformer takes the picture's
        told = {f"audio_{name}": theirs[name] for name in ("timestep", "sigma") if theirs.get(f"audio_{name}") is None}
        theirs = {**theirs, **told}
        for name in (*_VIDEO, *_PLAIN, *(_AUDIO if batch.audio is not None else ())):
            yield from difference(name, ours.get(name), theirs.get(name))
        frames, height, width = batch.latents.shape[2:]
        coordinates = model.rope.prepare_video_coords(1, frames, height, width, torch.device("cpu"), fps=ours["fps"])
        yield from difference("video_coords", coordinates, theirs["video_coords"])
        apart = bool(ours.get("isolate_modalities"))
        if apart != (batch.audio is None):
            streams = "apart" if apart else "together"
            clip = "silent" if batch.audio is None else "with sound"
            yield f"the streams of picture and sound are kept {streams} for a clip that is {clip}"
