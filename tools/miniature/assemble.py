"""Put the miniature together from its trained parts: before the transformer is trained, and after."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLLTX2Video,
    FlowMatchEulerDiscreteScheduler,
    LTX2Pipeline,
    LTX2VideoTransformer3DModel,
)
from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
from transformers import Gemma3ForConditionalGeneration, GemmaTokenizer

from vflow.nodes.families.ltx2 import miniature

HERE = Path(__file__).parent


def main() -> None:
    """Write the folder `base` of the work folder, or with a trained transformer the folder `whole` in 16-bit floats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder with what vae.py and text.py have written")
    parser.add_argument("--transformer", type=Path, help="folder of the trained transformer")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    if given.transformer is None:
        assemble(given.work, "vae-encoder", make_transformer(given.seed), torch.float32).save_pretrained(
            given.work / "base"
        )
    else:
        trained = LTX2VideoTransformer3DModel.from_pretrained(given.transformer)
        assemble(given.work, "vae", trained, torch.float16).save_pretrained(given.work / "whole")
        forget_places(given.work / "whole")


def forget_places(folder: Path) -> None:
    """Take out of the configurations from where on this machine the parts were loaded."""
    for file in folder.glob("*/config.json"):
        config = json.loads(file.read_text())
        config.pop("_name_or_path", None)
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)


def make_transformer(seed: int) -> LTX2VideoTransformer3DModel:
    """Make the transformer that is trained from nothing; its video does not hear the audio, which is not trained."""
    torch.manual_seed(seed)
    transformer = LTX2VideoTransformer3DModel(**_config("transformer"))
    for block in transformer.transformer_blocks:
        for parameter in block.audio_to_video_attn.to_out.parameters():
            torch.nn.init.zeros_(parameter)
    return transformer


def assemble(work: Path, vae: str, transformer: LTX2VideoTransformer3DModel, dtype: torch.dtype) -> LTX2Pipeline:
    """Return all parts; those of the sound are random, and small."""
    torch.manual_seed(1)
    return LTX2Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**_config("scheduler")),
        vae=AutoencoderKLLTX2Video.from_pretrained(work / vae),
        audio_vae=miniature.make_audio_vae(),
        text_encoder=Gemma3ForConditionalGeneration.from_pretrained(work / "text_encoder"),
        tokenizer=GemmaTokenizer.from_pretrained(work / "tokenizer"),
        connectors=LTX2TextConnectors.from_pretrained(work / "connectors"),
        transformer=transformer,
        vocoder=LTX2Vocoder(**_config("vocoder")),
    ).to(dtype=dtype)


def _config(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((HERE / "configs" / f"{name}.json").read_text())
    return config


if __name__ == "__main__":
    main()
