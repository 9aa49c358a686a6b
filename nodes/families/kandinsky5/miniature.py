"""The miniature: a whole checkpoint of the real classes with small random weights, made from a seed.

Its configurations are the JSON files in `configs/miniature`. What is not left to chance: the tokenizers know the words
of the drawn sample clips, the system message is as many tokens as the pipeline cuts off, modulation, which is zero at
birth and would let no block through, is random, and latents come out with unit variance and little posterior noise.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    Kandinsky5I2VPipeline,
    Kandinsky5T2VPipeline,
    Kandinsky5Transformer3DModel,
)
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
)

from vflow.nodes.families.kandinsky5.parts import TextStack
from vflow.nodes.families.kandinsky5.text import pipeline_of
from vflow.nodes.families.loading import without_bars
from vflow.nodes.families.miniatures import drawn_clips
from vflow.nodes.values import Task

_CONFIGS = Path(__file__).with_name("configs") / "miniature"
#: standard deviation of the posterior, as a share of the latents' own
_POSTERIOR_NOISE = 0.05
_MODULATION_STD = 0.2
_END, _START_TURN, _END_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_START, _WORD_END = "<|startoftext|>", "</w>"
_LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())


def build(folder: Path, seed: int, task: Task) -> None:
    """Write the checkpoint into `folder` in the layout of the real repository: equal seeds give equal bytes.

    For image to video, as in the real repositories, only the pipeline that its index names is another.
    """
    kind = Kandinsky5I2VPipeline if task == "i2v" else Kandinsky5T2VPipeline
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        words = _config("tokenizer")
        tokenizer, tokenizer_2 = make_tokenizer(words), make_clip_tokenizer(words)
        pipeline = kind(
            transformer=_make_transformer(),
            vae=_make_vae(),
            text_encoder=_make_text_encoder(tokenizer),
            tokenizer=tokenizer,
            text_encoder_2=_make_clip(tokenizer_2),
            tokenizer_2=tokenizer_2,
            scheduler=FlowMatchEulerDiscreteScheduler(**_config("scheduler")),
        )
    with without_bars():
        pipeline.save_pretrained(folder, safe_serialization=True)


def make_tokenizer(config: Mapping[str, Any]) -> Qwen2Tokenizer:
    """Train a tokenizer of Qwen's kind on the pipeline's template and on captions of the drawn clips.

    Raises:
        ValueError: the template before a caption comes out longer or shorter than what the pipeline cuts off.
    """
    pipeline = pipeline_of(TextStack(None, None, None, None))  # type: ignore[arg-type]
    template, cut = pipeline.prompt_template, pipeline.prompt_template_encode_start_idx
    texts = [*_captions(config), *[template.replace("{}", "")] * config["template_weight"]]
    splitter = Qwen2Tokenizer()._tokenizer.pre_tokenizer
    vocabulary, merges = _learned(texts, config["vocabulary_size"], (_END, _START_TURN, _END_TURN), splitter)
    # the real tokenizer takes these rare words in two pieces
    rare = config["split"]
    tokenizer = Qwen2Tokenizer(
        vocab=_numbered(token for token in vocabulary if token not in rare),
        merges=[pair for pair in merges if "".join(pair) not in rare],
        extra_special_tokens=[_START_TURN],
        pad_token=_END,
        eos_token=_END_TURN,
        padding_side="right",
    )
    before = len(tokenizer(template.partition("{}")[0]).input_ids)
    if before != cut:
        raise ValueError(f"the template before a caption is {before} tokens, the pipeline cuts {cut} off")
    return tokenizer


def make_clip_tokenizer(config: Mapping[str, Any]) -> CLIPTokenizer:
    """Train a tokenizer of CLIP's kind on captions of the drawn clips."""
    splitter = CLIPTokenizer()._tokenizer.pre_tokenizer
    # letters at a word's end are named too: the trainer would number them in an order that changes with the process
    special = (_START, _END, *(letter + _WORD_END for letter in _LETTERS))
    size = config["vocabulary_size"]
    vocabulary, merges = _learned(_captions(config), size, special, splitter, end_of_word_suffix=_WORD_END)
    return CLIPTokenizer(vocab=_numbered(vocabulary), merges=merges, model_max_length=77)


def _learned(
    texts: Iterable[str], size: int, special: Sequence[str], splitter: Any, **word_end: Any
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return what byte pair encoding learns from texts: tokens in order of their number, and merges."""
    trained = Tokenizer(models.BPE(**word_end))
    trained.pre_tokenizer = splitter
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(token, special=True) for token in special],
        initial_alphabet=_LETTERS,
        show_progress=False,
        **word_end,
    )
    trained.train_from_iterator(texts, trainer)
    learned = json.loads(trained.to_str())["model"]
    vocabulary = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    return vocabulary, [tuple(merge) for merge in learned["merges"]]


def _numbered(tokens: Iterable[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def _captions(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield every filling of every sentence, a word list walked once for each place that it has there."""
    words: Mapping[str, list[str]] = config["words"]
    for sentence in config["sentences"]:
        used = [name for name in words if f"{{{name}}}" in sentence]
        for chosen in itertools.product(*(words[name] for name in used)):
            yield sentence.format(**dict(zip(used, chosen, strict=True)))


def _make_transformer() -> Kandinsky5Transformer3DModel:
    model = Kandinsky5Transformer3DModel(**_config("transformer"))
    for name, parameter in model.named_parameters():
        if "modulation" in name:
            torch.nn.init.normal_(parameter, std=_MODULATION_STD)
    return model


def _make_text_encoder(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    config, ids = _config("text_encoder"), tokenizer.convert_tokens_to_ids
    config["text_config"] |= {
        "vocab_size": len(tokenizer),
        "bos_token_id": ids(_END),
        "eos_token_id": ids(_END_TURN),
        "pad_token_id": ids(_END),
    }
    # numbers that no token has: a caption holds no image
    media = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    numbers = {name: len(tokenizer) + place for place, name in enumerate(media)}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**config, **numbers))


def _make_clip(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return CLIPTextModel(CLIPTextConfig(**_config("text_encoder_2"), vocab_size=len(tokenizer), **ids))


@torch.no_grad()
def _make_vae() -> AutoencoderKLHunyuanVideo:
    vae = AutoencoderKLHunyuanVideo(**_config("vae")).eval()
    last, channels = vae.quant_conv, vae.config.latent_channels
    said = torch.cat([vae.encode(clip).latent_dist.mean.flatten(2) for clip in drawn_clips()], dim=2)[0]
    spread = said.std(1) * vae.config.scaling_factor
    last.weight[:channels] /= spread[:, None, None, None, None]
    last.bias[:channels] = (last.bias[:channels] - said.mean(1)) / spread
    # the second half of the channels is the logarithm of the posterior's variance
    last.weight[channels:] = 0
    last.bias[channels:] = 2 * math.log(_POSTERIOR_NOISE / vae.config.scaling_factor)
    return vae


def _config(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((_CONFIGS / f"{name}.json").read_text())
    return data
