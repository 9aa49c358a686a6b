"""What the family is: flavours, parts, rules, LoRA targets. Light; the heavy modules are imported when called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.nodes.families.base import Family
from vflow.nodes.families.exchange import Batch, Drawn, Draws, FlowOptions, Prediction, SamplingRequest
from vflow.nodes.families.ltx2.layer_names import NAMES
from vflow.nodes.families.rules import (
    Anatomy,
    Flavour,
    LoRATarget,
    PromptTokens,
    SamplingDefaults,
    SamplingOption,
    SingleFile,
    VideoRules,
)
from vflow.nodes.values import DType, Part, Task

if TYPE_CHECKING:
    import numpy as np
    import torch

    from vflow.nodes.families.ltx2.rehearsal import Parity

_UNSEEN = "diffusers' documentation names the repository, nobody of vflow has opened it"
#: what stands before the transformer's names in the makers' own files, which hold all networks
_ALL_IN_ONE = "model.diffusion_model."

_PROJECTIONS = r"\.(?:to_q|to_k|to_v|to_out\.0)"
_FEED_FORWARD = r"\.net\.(?:0\.proj|2)"
_VIDEO_ATTENTION = rf"attn[12]{_PROJECTIONS}"
_ALL_ATTENTION = rf"(?:(?:audio_)?attn[12]|audio_to_video_attn|video_to_audio_attn){_PROJECTIONS}"


def _in_blocks(*modules: str) -> str:
    # the text connectors have projections of the same names: only those of the transformer's blocks are meant
    return rf"transformer_blocks\.\d+\.(?:{'|'.join(modules)})"


class LTX2(Family):
    """LTX Video 2 of Lightricks, 19 billion parameters."""

    name = "ltx2"
    title = "LTX Video 2"
    flavours: Mapping[str, Flavour] = {
        "2.0": Flavour(
            "Lightricks/LTX-2",
            about="19B, video and audio; 25 frames per second, sizes by 32, 8k+1 frames",
            licence_url="https://huggingface.co/Lightricks/LTX-2",
        ),
        "2.3": Flavour(
            "diffusers/LTX-2.3-Diffusers",
            about=f"22B, video and audio at 48 kHz; {_UNSEEN}",
            licence_url="https://huggingface.co/Lightricks/LTX-2.3",
            anatomy=Anatomy(parameters=22e9, width=4096, blocks=48),
        ),
        "2.5": Flavour(
            "Lightricks/LTX-2.5-Diffusers",
            about="22B, video and audio, Gemma 4 reads the text; without keyframes, duration head, prompt enhancer and "
            f"diffusion decoder; {_UNSEEN}",
            licence_url="https://huggingface.co/Lightricks/LTX-2.5",
            anatomy=Anatomy(parameters=22e9, width=4096, blocks=48),
        ),
    }
    classes: Mapping[Part, frozenset[str]] = {
        "transformer": frozenset({"LTX2VideoTransformer3DModel"}),
        "vae": frozenset({"AutoencoderKLLTX2Video"}),
        "text_encoder": frozenset({"Gemma3ForConditionalGeneration", "Gemma4UnifiedForConditionalGeneration"}),
    }
    folders: Mapping[Part, tuple[str, ...]] = {
        "transformer": ("transformer", "scheduler"),
        "vae": ("vae", "audio_vae", "vocoder"),
        "text_encoder": ("text_encoder", "tokenizer", "connectors"),
    }
    #: one checkpoint: with a first frame, its tokens are clean
    task: Task = "either"
    rules = VideoRules(
        frames_step=8,
        frames_rest=1,
        size_multiple=32,
        temporal_ratio=8,
        spatial_ratio=32,
        latent_channels=128,
        fps=25.0,
    )
    #: the schedule is stretched to end at 0.1, which for a single step is 0 / 0
    sampling = SamplingDefaults(steps=30, guidance=3.0, width=768, height=512, frames=121, least_steps=2)
    prompt_tokens = PromptTokens(usual=1024, most=1024, multiple=128)
    #: the model's authors', which diffusers keeps as a constant
    negative_prompt = (
        "blurry, out of focus, overexposed, underexposed, low contrast, washed out colors, excessive noise, "
        "grainy texture, poor lighting, flickering, motion blur, distorted proportions, unnatural skin tones, "
        "deformed facial features, asymmetrical face, missing facial features, extra limbs, disfigured hands, "
        "wrong hand count, artifacts around text, inconsistent perspective, camera shake, incorrect depth of "
        "field, background too sharp, background clutter, distracting reflections, harsh shadows, inconsistent "
        "lighting direction, color banding, cartoonish rendering, 3D CGI look, unrealistic materials, uncanny "
        "valley effect, incorrect ethnicity, wrong gender, exaggerated expressions, wrong gaze direction, "
        "mismatched lip sync, silent or muted audio, distorted voice, robotic voice, echo, background noise, "
        "off-sync audio, incorrect dialogue, added dialogue, repetitive speech, jittery movement, awkward "
        "pauses, incorrect timing, unnatural transitions, inconsistent framing, tilted camera, flat lighting, "
        "inconsistent tone, cinematic oversaturation, stylized filters, or AI artifacts."
    )
    noise = (
        "logit-normal whose mean grows with the number of tokens (0.95 at 1,024, 2.05 at 4,096), stretched, a tenth "
        "drawn uniformly, as its authors train; shift k puts the mean at ln k"
    )
    anatomy = Anatomy(parameters=18.88e9, width=4096, blocks=48)
    sampling_options: Mapping[str, SamplingOption] = {
        "guidance_rescale": SamplingOption(
            0.7, "how far the guided prediction is scaled back to the unguided's spread"
        ),
        "audio_guidance": SamplingOption(0.0, "guidance of the audio; 0 takes that of the video"),
        "stg_scale": SamplingOption(0.0, "spatio-temporal guidance; one more forward per step above 0"),
        "stg_block": SamplingOption(29, "the block whose self-attention that guidance perturbs"),
        "modality_scale": SamplingOption(1.0, "guidance away from audio and video apart; one more forward above 1"),
        "motion_speed": SamplingOption(1.0, "below 1, motion is drawn slower than real time"),
        "vae_tiling": SamplingOption(False, "decode in tiles: less memory, other pixels at the seams"),
    }
    lora_targets: Mapping[str, LoRATarget] = {
        "video_attention": LoRATarget(
            _in_blocks(_VIDEO_ATTENTION), "self- and text attention of the video (384 modules of the 19B)"
        ),
        "attention": LoRATarget(
            _in_blocks(_ALL_ATTENTION), "attention of video, audio and between them (1,152 modules of the 19B)"
        ),
        "video_attention_ff": LoRATarget(
            _in_blocks(_VIDEO_ATTENTION, rf"ff{_FEED_FORWARD}"), "video attention and feed-forward (480 modules)"
        ),
        "attention_ff": LoRATarget(
            _in_blocks(_ALL_ATTENTION, rf"(?:audio_)?ff{_FEED_FORWARD}"),
            "all attention and feed-forward (1,344 modules)",
        ),
    }
    default_lora_target = "video_attention"
    widths = frozenset({4096, 2048, 192, 32, 16})
    trained_miniature = Path(__file__).with_name("trained")
    sound = True
    sound_modules = _in_blocks(r"(?:audio_attn[12]|audio_to_video_attn|video_to_audio_attn|audio_ff)\..+")
    sound_target = "attention"
    layer_names = NAMES
    single_files = {
        "transformer": SingleFile("av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1.weight", _ALL_IN_ONE),
        "vae": SingleFile("per_channel_statistics.mean-of-means", "vae."),
    }
    miniature_version = 2

    def load(self, part: Part, folder: Path, dtype: DType) -> Any:
        """Load a part: a `Denoiser`, a `VideoVAE` or a `TextStack` of `parts.py`."""
        from vflow.nodes.families.ltx2 import parts

        return parts.load(part, folder, dtype)

    def build_miniature(self, folder: Path, seed: int, task: Task = "t2v") -> None:
        """Write the miniature checkpoint, all parts."""
        from vflow.nodes.families.ltx2 import miniature

        miniature.build(folder, seed)

    def encode_text(
        self, text_encoder: Any, captions: Sequence[str], tokens: int | None = None
    ) -> list[dict[str, torch.Tensor]]:
        """Return what the connectors say of each caption: `video` (L, D), `audio` (L, D), `mask` (L,)."""
        from vflow.nodes.families.ltx2 import text

        return text.encode(text_encoder, captions, tokens)

    def encode_video(
        self, vae: Any, pixels: torch.Tensor, posterior: str, noise: Sequence[torch.Generator] | None
    ) -> torch.Tensor:
        """Encode pixels (B, 3, F, H, W) in [-1, 1] to normalised latents (B, 128, f, h, w), float32, on the CPU."""
        from vflow.nodes.families.ltx2 import latents

        return latents.encode(vae, pixels, posterior, noise)

    def encode_image(self, vae: Any, image_encoder: Any, pixels: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Return `latent` (128, 1, h, w) of each image, as `LTX2ImageToVideoPipeline` encodes its condition."""
        from vflow.nodes.families.ltx2 import latents

        return [{"latent": latent} for latent in latents.encode_image(vae, pixels)]

    def sound_format(self, vae: Any) -> tuple[int, int]:
        """Return rate and channels of the sound that the audio VAE takes (16,000, 2)."""
        config = vae.listener().config
        return config.sample_rate, config.in_channels

    def encode_audio(self, vae: Any, samples: torch.Tensor, seconds: float) -> torch.Tensor:
        """Encode sound (B, 2, N) in [-1, 1] to normalised tokens (B, L, 128), float32, on the CPU."""
        from vflow.nodes.families.ltx2 import sound

        return sound.encode(vae, samples, seconds)

    def draw_sigmas(self, batch: Batch, draws: Draws, options: FlowOptions) -> torch.Tensor:
        """Draw noise levels (B,): by default the official trainer's stretched logit-normal, shifted by the size."""
        from vflow.nodes.families.ltx2 import noise

        return noise.draw_sigmas(batch, draws, options)

    def predict(
        self, transformer: Any, batch: Batch, sigmas: torch.Tensor, draws: Draws, options: FlowOptions
    ) -> Prediction:
        """Run the transformer on noised latents, those of the sound too where there is some.

        The target is noise minus latents, in both streams. The video of silent clips is kept apart from all sound.
        """
        from vflow.nodes.families.ltx2 import training

        return training.predict(transformer, batch, sigmas, draws, options)

    def draw(self, transformer: Any, vae: Any, request: SamplingRequest) -> np.ndarray:
        """Draw one clip with `LTX2Pipeline`, or from an image with `LTX2ImageToVideoPipeline`."""
        return self.draw_clip(transformer, vae, request).frames

    def draw_clip(self, transformer: Any, vae: Any, request: SamplingRequest) -> Drawn:
        """Draw one clip as `draw`, and its sound where that is wanted."""
        from vflow.nodes.families.ltx2 import sampling

        return sampling.draw(transformer, vae, request)

    def parity(self) -> Parity:
        """Return what has to be equal between training and the pipeline."""
        from vflow.nodes.families.ltx2.rehearsal import Parity

        return Parity()

    def save_adapter(self, transformer: Any, folder: Path) -> Path:
        """Write `pytorch_lora_weights.safetensors` as `LTX2Pipeline.load_lora_weights` reads it."""
        from vflow.nodes.families import adapters
        from vflow.nodes.families.ltx2.parts import unwrapped

        return adapters.save(unwrapped(transformer), folder, self)

    def load_adapter(self, transformer: Any, file: Path, weight: float) -> None:
        """Put an adapter file onto the transformer, checked against its modules first."""
        from vflow.nodes.families import adapters
        from vflow.nodes.families.ltx2.parts import unwrapped

        adapters.load(unwrapped(transformer), file, weight, self)
