"""The miniature: a whole checkpoint of the real classes with small random weights, made from a seed.

Its configurations are the JSON files in `configs/miniature`; that for image to video has a vision encoder more, and a
native area at which its pipeline takes an image of 96x64 as it is. Its transformer's `task_type` says the opposite of
what it is for, as a published one does: nothing may go by it. What is not left to chance: the system message is exactly
as many tokens as the pipeline cuts off, the tokenizer knows the words of the drawn sample clips, and latents come out
with unit variance and little posterior noise, as real ones do.
"""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo15,
    ClassifierFreeGuidance,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
)
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    ByT5Tokenizer,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    Qwen2Tokenizer,
    T5Config,
    T5EncoderModel,
)

from vflow.nodes.families.hunyuan15.parts import quiet_guiders, without_notices
from vflow.nodes.families.loading import without_bars
from vflow.nodes.families.miniatures import drawn_clips
from vflow.nodes.values import Task

_CONFIGS = Path(__file__).with_name("configs") / "miniature"
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
#: standard deviation of the posterior, as a share of the latents' own
_POSTERIOR_NOISE = 0.05


def build(folder: Path, seed: int, task: Task = "t2v") -> None:
    """Write the checkpoint into `folder` in the layout of the real repository: equal seeds give equal bytes."""
    of_task = _config("transformer_i2v") if task == "i2v" else {}
    with torch.random.fork_rng(devices=[]), without_bars(), quiet_guiders():
        torch.manual_seed(seed)
        tokenizer = make_tokenizer(_config("tokenizer"))
        parts = {
            "text_encoder": _make_text_encoder(tokenizer),
            "tokenizer": tokenizer,
            # one of its layers is 2048 wide whatever the configuration says: half precision halves the files
            "transformer": HunyuanVideo15Transformer3DModel(**_config("transformer") | of_task).half(),
            "vae": _make_vae(),
            "scheduler": FlowMatchEulerDiscreteScheduler(**_config("scheduler")),
            "text_encoder_2": T5EncoderModel(T5Config(**_config("text_encoder_2"))),
            "tokenizer_2": ByT5Tokenizer(),
            "guider": ClassifierFreeGuidance(**_config("guider")),
        }
        pipeline = _with_vision(parts) if task == "i2v" else HunyuanVideo15Pipeline(**parts)
        pipeline.save_pretrained(folder, safe_serialization=True)


def _with_vision(parts: Mapping[str, Any]) -> Any:
    from transformers import SiglipImageProcessorPil, SiglipVisionConfig, SiglipVisionModel

    with without_notices():
        from diffusers import HunyuanVideo15ImageToVideoPipeline
    return HunyuanVideo15ImageToVideoPipeline(
        **parts,
        image_encoder=SiglipVisionModel(SiglipVisionConfig(**_config("image_encoder"))),
        feature_extractor=SiglipImageProcessorPil(**_config("feature_extractor")),
    )


def make_tokenizer(config: Mapping[str, Any]) -> Qwen2Tokenizer:
    """Train a tokenizer of Qwen's kind on the pipeline's system message and on captions of the drawn clips.

    Raises:
        ValueError: the system message comes out longer or shorter than what the pipeline cuts off.
    """
    defaults = inspect.signature(HunyuanVideo15Pipeline._get_mllm_prompt_embeds).parameters
    message, cut = defaults["system_message"].default, defaults["crop_start"].default
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=config["vocabulary_size"],
        special_tokens=[AddedToken(token, special=True) for token in _SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    template = [message, "system", "user", "assistant", "\n"]
    trained.train_from_iterator([*_captions(config), *template * config["template_weight"]], trainer)
    learned = json.loads(trained.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],
        extra_special_tokens=["<|im_start|>"],
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        padding_side="right",
    )
    tokenizer.chat_template = config["chat_template"]
    said = [{"role": "system", "content": message}, {"role": "user", "content": ""}]
    ids = tokenizer.apply_chat_template(said, tokenize=True, return_dict=True)["input_ids"]
    before = len(ids) - ids[::-1].index(tokenizer.convert_tokens_to_ids("<|im_end|>")) - 1
    if before != cut:
        raise ValueError(f"the system message is {before} tokens, the pipeline cuts {cut} off")
    return tokenizer


def _captions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield every filling of every sentence, a word list walked once for each place that it has there."""
    words: Mapping[str, list[str]] = config["words"]
    for sentence in config["sentences"]:
        used = [name for name in words if f"{{{name}}}" in sentence]
        for chosen in itertools.product(*(words[name] for name in used)):
            yield sentence.format(**dict(zip(used, chosen, strict=True)))


def _make_text_encoder(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLTextModel:
    ids = tokenizer.convert_tokens_to_ids
    return Qwen2_5_VLTextModel(
        Qwen2_5_VLTextConfig(
            **_config("text_encoder"),
            vocab_size=len(tokenizer),
            bos_token_id=ids("<|endoftext|>"),
            eos_token_id=ids("<|im_end|>"),
            pad_token_id=ids("<|endoftext|>"),
        )
    )


@torch.no_grad()
def _make_vae() -> AutoencoderKLHunyuanVideo15:
    vae = AutoencoderKLHunyuanVideo15(**_config("vae")).eval()
    last, channels = vae.encoder.conv_out.conv, vae.config.latent_channels
    # the second half of the encoder's channels is the logarithm of the posterior's variance
    last.weight[channels:] = 0
    last.bias[channels:] = 0
    said = torch.cat([vae.encode(clip).latent_dist.parameters.flatten(2) for clip in drawn_clips()], dim=2)[0]
    spread = said[:channels].std(1).mean()
    last.bias -= said.mean(1)
    last.bias[channels:] += 2 * torch.log(_POSTERIOR_NOISE * spread)
    vae.register_to_config(scaling_factor=round(1 / float(spread), 5))
    return vae


def _config(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((_CONFIGS / f"{name}.json").read_text())
    return data
