"""Pitfalls that are known of the families, injected: each makes a check fail by name. `docs/rehearse.md` lists them."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SanaVideoPipeline, SanaVideoTransformer3DModel
from safetensors.torch import load_file, save_file
from transformers import ByT5Tokenizer

from vflow.nodes.families import adapters, loading
from vflow.nodes.families.hunyuan15 import parts as hunyuan_parts
from vflow.nodes.families.hunyuan15 import rehearsal as hunyuan_rehearsal
from vflow.nodes.families.hunyuan15 import text as hunyuan_text
from vflow.nodes.families.hunyuan15 import training as hunyuan_training
from vflow.nodes.families.kandinsky5 import attention as kandinsky_attention
from vflow.nodes.families.kandinsky5 import parts as kandinsky_parts
from vflow.nodes.families.kandinsky5 import rehearsal as kandinsky_rehearsal
from vflow.nodes.families.kandinsky5 import text as kandinsky_text
from vflow.nodes.families.kandinsky5 import training as kandinsky_training
from vflow.nodes.families.ltx2 import sampling as ltx_sampling
from vflow.nodes.families.ltx2 import sound as ltx_sound
from vflow.nodes.families.ltx2 import text as ltx_text
from vflow.nodes.families.ltx2 import training as ltx_training
from vflow.nodes.families.sana import parts as sana_parts
from vflow.nodes.families.sana import sampling as sana_sampling
from vflow.nodes.families.sana import text as sana_text


@dataclass(frozen=True)
class Pitfall:
    """One of families.md, section 7: what it is called here, where it is looked for, and what has to be said."""

    number: int
    what: str
    family: str
    look: str
    check: str
    words: str
    inject: Callable
    task: str = "t2v"
    dtype: str = "float32"
    edits: bool = False
    quick: bool = False

    @property
    def named(self):
        return f"{self.number} {self.family}: {self.what}"


def in_config(sub, **entries):
    """Change entries of a sub-folder's configuration; None takes one out."""

    def inject(_monkeypatch, rehearsed):
        file = rehearsed.checkpoint / sub / "config.json"
        config = json.loads(file.read_text()) | entries
        file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))

    return inject


def in_arguments(module, change):
    """Change what a family's training gives its transformer."""

    def inject(monkeypatch, _rehearsed):
        arguments = module.arguments
        monkeypatch.setattr(module, "arguments", lambda *a, **k: change(arguments(*a, **k)))

    return inject


def replaced(module, **names):
    def inject(monkeypatch, _rehearsed):
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)

    return inject


def without_features(given):
    return given | {"image_embeds": torch.zeros_like(given["image_embeds"])}


def image_in_the_condition(given):
    """What another trainer does: the image beside the noise, and the first frame noised like the others."""
    hidden = given["hidden_states"].clone()
    channels = (hidden.shape[-1] - 1) // 2
    hidden[:, :1, ..., channels:-1] = hidden[:, :1, ..., :channels]
    hidden[:, :1, ..., :channels] += 1
    return given | {"hidden_states": hidden}


def every_token_counts(monkeypatch, _rehearsed):
    predict = kandinsky_training.predict

    def all_of_them(*args):
        said = predict(*args)
        said.weight = torch.ones_like(said.weight)
        return said

    monkeypatch.setattr(kandinsky_training, "predict", all_of_them)


def raw_stack(stack, captions, tokens=None):
    """The layers of Gemma as they are, without the connectors."""
    read = stack.tokenizer(list(captions), padding="max_length", max_length=64, truncation=True, return_tensors="pt")
    layers = stack.text_encoder(**read, output_hidden_states=True).hidden_states
    rows = torch.stack(layers, dim=-1).flatten(2, 3)
    return [{"video": r.clone(), "audio": r.clone(), "mask": m} for r, m in zip(rows, read.attention_mask, strict=True)]


def left_random(monkeypatch, rehearsed):
    """The table has an axis more in the file, and nobody puts right what the loader leaves random."""
    (file,) = (rehearsed.checkpoint / "transformer").glob("*.safetensors")
    tensors = load_file(file)
    tensors["scale_shift_table"] = tensors["scale_shift_table"][None].clone()
    save_file(tensors, file, {"format": "pt"})

    def load(folder, dtype):
        odd = {"reshaped": ("scale_shift_table",), "low_cpu_mem_usage": False}
        return loading.load_network(SanaVideoTransformer3DModel, folder, torch_dtype=dtype, **odd)

    monkeypatch.setattr(sana_parts, "load_transformer", load)


def another_schedule(folder):
    scheduler = sana_parts.read(FlowMatchEulerDiscreteScheduler, folder, flow_shift=8.0)
    assert scheduler.config.shift == 1.0
    return scheduler


def binned(monkeypatch, _rehearsed):
    call = SanaVideoPipeline.__call__

    class Binned(SanaVideoPipeline):
        def __call__(self, *args, **named):
            return call(self, *args, **named | {"use_resolution_binning": True})

    monkeypatch.setattr(sana_sampling, "SanaVideoPipeline", Binned)


def as_written(monkeypatch, _rehearsed):
    class AsWritten(SanaVideoPipeline):
        def _text_preprocessing(self, text, clean_caption=False):
            return [text] if isinstance(text, str) else text

    monkeypatch.setattr(sana_text, "SanaVideoPipeline", AsWritten)


def padded(stack, captions, tokens=None, encode=kandinsky_text.encode):
    return [row | {"text": torch.nn.functional.pad(row["text"], (0, 0, 0, 9))} for row in encode(stack, captions)]


def all_in_bfloat16(monkeypatch, _rehearsed):
    load = kandinsky_parts._load_denoiser

    def cast(folder, dtype):
        live = load(folder, dtype)
        live.transformer.to(torch.bfloat16)
        return live

    monkeypatch.setattr(kandinsky_parts, "_load_denoiser", cast)


def untrimmed(rows, stack=hunyuan_text.stack):
    stacked = stack([row | {"text": torch.nn.functional.pad(row["text"], (0, 0, 0, 9))} for row in rows])
    stacked["text_mask"][:, -9:] = 0
    return stacked


def padded_left(monkeypatch, _rehearsed):
    load = hunyuan_parts._load_text

    def turned(folder, dtype):
        stack = load(folder, dtype)
        stack.tokenizer.padding_side = "left"
        return stack

    monkeypatch.setattr(hunyuan_parts, "_load_text", turned)


def retyped(monkeypatch, _rehearsed):
    """The system message without its odd runs of spaces."""
    ask = hunyuan_text.HunyuanVideo15Pipeline._get_mllm_prompt_embeds
    message = re.sub(r" +", " ", hunyuan_rehearsal._FUNCTION["system_message"].default)

    class Retyped(hunyuan_text.HunyuanVideo15Pipeline):
        @staticmethod
        def _get_mllm_prompt_embeds(*args, **named):
            return ask(*args, **named, system_message=message)

    monkeypatch.setattr(hunyuan_text, "HunyuanVideo15Pipeline", Retyped)


def base_tokenizer(_monkeypatch, rehearsed):
    ByT5Tokenizer(extra_ids=0).save_pretrained(rehearsed.checkpoint / "tokenizer_2")


def guided_apart(monkeypatch, _rehearsed):
    guidance = ltx_sampling._guidance
    options = {"stg_scale": 1.0, "spatio_temporal_guidance_blocks": [0]}
    monkeypatch.setattr(ltx_sampling, "_guidance", lambda *a: guidance(*a) | options)


def dense(monkeypatch, rehearsed):
    """Sparse attention (NABLA), which training does without; its kernel is one that a CPU has."""
    entries = {"P": 0.3, "wT": 3, "wW": 1, "wH": 1, "add_sta": True, "method": "topcdf", "type": "nabla"}
    in_config("transformer", **{f"attention_{name}": value for name, value in entries.items()})(None, rehearsed)
    for module in (kandinsky_attention, kandinsky_rehearsal):
        monkeypatch.setattr(module, "kernel_for", lambda _device, _width: kandinsky_attention.dense_within)
    monkeypatch.setattr(rehearsed, "height", 128)
    monkeypatch.setattr(rehearsed, "width", 256)
    monkeypatch.setattr(kandinsky_training, "sparse_params", lambda *_: None)


def under_another_prefix(monkeypatch, _rehearsed):
    class Prefixed:
        adapter_prefix = "unet."

    save = adapters.save
    monkeypatch.setattr(adapters, "save", lambda model, folder, _family: save(model, folder, Prefixed()))


def without_alpha(monkeypatch, _rehearsed):
    write = adapters.write_safetensors
    monkeypatch.setattr(adapters, "write_safetensors", lambda file, tensors, _said: write(file, tensors, {}))


PITFALLS = [
    Pitfall(1, "the image beside the noise", "kandinsky5", "forward", "transformer input", "hidden_states differs",
            in_arguments(kandinsky_training, image_in_the_condition), task="i2v"),
    Pitfall(2, "no features of the image", "hunyuan15", "forward", "transformer input", "image_embeds differs",
            in_arguments(hunyuan_training, without_features), task="i2v"),
    Pitfall(4, "an adapter under another prefix", "hunyuan15", "result", "adapter", "does not load",
            under_another_prefix),
    Pitfall(5, "cross attention told the other stream's own time", "ltx2", "forward", "transformer input",
            "use_cross_timestep is False", in_arguments(ltx_training, lambda g: g | {"use_cross_timestep": False})),
    Pitfall(6, "time from 0 to 1", "ltx2", "forward", "transformer input", "timestep differs",
            replaced(ltx_training, TIMESTEPS=1.0)),
    Pitfall(7, "the encoder's layers without the connectors", "ltx2", "text", "text embeddings", "has the shape",
            replaced(ltx_text, encode=raw_stack)),
    Pitfall(8, "the streams of a silent clip together", "ltx2", "forward", "transformer input", "kept together",
            in_arguments(ltx_training, lambda g: g | {"isolate_modalities": False})),
    Pitfall(8, "no sound at all", "ltx2", "forward", "transformer input", "audio_hidden_states",
            in_arguments(ltx_training, lambda g: {k: v for k, v in g.items() if k != "audio_hidden_states"})),
    Pitfall(9, "statistics of channels for those of tokens", "ltx2", "sound", "sound latents", "sound",
            replaced(ltx_sound, normalise=lambda tokens, vae: (tokens - vae.latents_mean[0]) / vae.latents_std[0])),
    Pitfall(10, "the class's own mlp_ratio", "sana", "weights", "weights", "have other shapes",
            in_config("transformer", mlp_ratio=2.5), edits=True, quick=True),
    Pitfall(10, "a table left random", "sana", "forward", "weights as loaded", "scale_shift_table", left_random,
            edits=True, quick=True),
    Pitfall(11, "flow_shift where shift is meant", "sana", "forward", "schedule", "FlowMatchEuler",
            replaced(sana_parts, load_scheduler=another_schedule), quick=True),
    Pitfall(12, "captions as they are written", "sana", "text", "text embeddings", "A RED Ball", as_written),
    Pitfall(12, "no instruction before captions", "sana", "text", "text embeddings", "text differs",
            replaced(sana_text, instruction=lambda: None), quick=True),
    Pitfall(12, "another size, and scaled", "sana", "forward", "transformer input", "", binned),
    Pitfall(13, "padded captions", "kandinsky5", "text", "text embeddings", "text has the shape",
            replaced(kandinsky_text, encode=padded)),
    Pitfall(14, "everything in bfloat16", "kandinsky5", "forward", "weights as loaded", "time_embeddings",
            all_in_bfloat16, dtype="bfloat16"),
    Pitfall(15, "one scale for all sizes", "kandinsky5", "forward", "transformer input", "scale_factor",
            in_arguments(kandinsky_training, lambda g: g | {"scale_factor": (1.0, 2.0, 2.0)}), quick=True),
    Pitfall(16, "a configuration without the condition", "kandinsky5", "weights", "configuration", "visual_cond",
            in_config("transformer", visual_cond=None), edits=True, quick=True),
    Pitfall(16, "no zeros for the condition", "kandinsky5", "forward", "transformer input", "",
            replaced(kandinsky_training, with_condition=lambda _model, noised, _first: noised)),
    Pitfall(17, "dense where the checkpoint is sparse", "kandinsky5", "forward", "transformer input", "sparse_params",
            dense, edits=True),
    Pitfall(18, "padding that is masked", "hunyuan15", "forward", "transformer input", "ends in padding",
            replaced(hunyuan_text, stack=untrimmed)),
    Pitfall(19, "padding on the left", "hunyuan15", "text", "template", "padded on the left", padded_left),
    Pitfall(19, "a system message typed again", "hunyuan15", "text", "text embeddings", "text", retyped),
    Pitfall(20, "the plain ByT5 tokenizer", "hunyuan15", "text", "template", "tokenizer_2 knows 259", base_tokenizer,
            edits=True),
    Pitfall(21, "time in bfloat16", "hunyuan15", "forward", "transformer input", "several thousandths",
            in_arguments(hunyuan_training, lambda g: g | {"timestep": g["timestep"].bfloat16()})),
    Pitfall(21, "time in bfloat16", "kandinsky5", "forward", "transformer input", "several thousandths",
            in_arguments(kandinsky_training, lambda g: g | {"timestep": g["timestep"].bfloat16()})),
    Pitfall(26, "several forwards in a step", "ltx2", "forward", "scheduler step", "several times", guided_apart),
    Pitfall(28, "alpha lost", "kandinsky5", "result", "adapter", "away from what was trained", without_alpha,
            quick=True),
    Pitfall(30, "another VAE's configuration", "hunyuan15", "weights", "configuration", "spatial_compression_ratio",
            in_config("vae", spatial_compression_ratio=None, ffactor_spatial=16), edits=True),
    Pitfall(32, "clean tokens in the loss", "kandinsky5", "forward", "scheduler step", "count in the loss",
            every_token_counts, task="i2v", quick=True),
]  # fmt: skip


@pytest.mark.parametrize(
    "pitfall", [pytest.param(p, id=p.named, marks=() if p.quick else pytest.mark.long) for p in PITFALLS]
)
def test_an_injected_pitfall_fails_by_name(pitfall, miniatures, edited, monkeypatch):
    rehearsed = (edited if pitfall.edits else miniatures)(pitfall.family, pitfall.task)
    pitfall.inject(monkeypatch, rehearsed)
    found = rehearsed.look(pitfall.look, pitfall.dtype)
    check = found[pitfall.check]
    assert check.status == "failed", found
    assert re.search(pitfall.words, check.message), check.message
    assert check.remedy


def test_a_task_that_the_configuration_names_wrongly_does_not_matter(edited):
    """Number 29: the published configuration of a checkpoint for text to video says that it is for image to video."""
    rehearsed = edited("hunyuan15")
    in_config("transformer", task_type="i2v")(None, rehearsed)
    assert {check.status for check in rehearsed.look("forward").values()} == {"passed"}


def test_the_page_names_every_check_and_family_of_a_pitfall():
    page = (Path(__file__).parents[3] / "docs/rehearse.md").read_text()
    injected = page.partition("## Pitfalls")[2].partition("The others are held elsewhere")[0]
    titles = {"ltx2": "LTX-2", "hunyuan15": "HunyuanVideo 1.5", "kandinsky5": "Kandinsky 5", "sana": "Sana"}
    rows = [row for row in injected.splitlines() if row.startswith("| ")]
    for pitfall in PITFALLS:
        of_any = pitfall.number in (28, 32)  # of every family
        told = [row for row in rows if f"`{pitfall.check}`" in row and (of_any or titles[pitfall.family] in row)]
        assert told, pitfall.named
