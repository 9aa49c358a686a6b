"""The live parts of a checkpoint, loaded by `from_pretrained` of the real classes, and checked where files are odd.

What only one part needs is imported when that part is loaded: training waits for no text encoder's modules.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, SanaVideoTransformer3DModel
from safetensors import safe_open

from vflow.engine.problems import Failure
from vflow.nodes.families import loading
from vflow.nodes.families.loading import load_network, read
from vflow.nodes.families.sana import islands
from vflow.nodes.values import DType, Part

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan
    from transformers import Gemma2Model, GemmaTokenizer

#: the schedulers that checkpoints come with, and what each calls the shift of its schedule
SHIFTS: dict[type[Any], str] = {DPMSolverMultistepScheduler: "flow_shift", FlowMatchEulerDiscreteScheduler: "shift"}
TABLE = "scale_shift_table"


@dataclass(repr=False)
class Denoiser:
    """The transformer, and the scheduler with which its checkpoint is sampled."""

    transformer: SanaVideoTransformer3DModel
    scheduler: Any

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the module that is placed, trained and transformed."""
        return {"transformer": self.transformer}


@dataclass(repr=False)
class VideoVAE:
    """Wan's video VAE."""

    vae: AutoencoderKLWan

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the network."""
        return {"vae": self.vae}


@dataclass(repr=False)
class TextStack:
    """All that stands between a caption and the transformer: tokenizer and Gemma 2."""

    tokenizer: GemmaTokenizer
    text_encoder: Gemma2Model

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the network."""
        return {"text_encoder": self.text_encoder}


def load(part: Part, folder: Path, dtype: DType) -> Denoiser | VideoVAE | TextStack:
    """Load a part from a checkpoint's folder onto the CPU, frozen, in evaluation mode.

    Raises:
        Failure: a file is missing, is no safetensors, or lacks weights of the class; or the schedule is of no flow.
    """
    loaders: dict[str, Callable[[Path, torch.dtype], Denoiser | VideoVAE | TextStack]] = {
        "transformer": _load_denoiser,
        "vae": _load_vae,
        "text_encoder": _load_text,
    }
    return loaders[part](folder, getattr(torch, dtype))


def _load_denoiser(folder: Path, dtype: torch.dtype) -> Denoiser:
    scheduler = load_scheduler(folder / "scheduler")
    model = load_transformer(folder / "transformer", dtype)
    islands.protect(model)
    return Denoiser(model, scheduler)


def _load_vae(folder: Path, dtype: torch.dtype) -> VideoVAE:
    from diffusers import AutoencoderKLWan

    return VideoVAE(load_network(AutoencoderKLWan, folder / "vae", torch_dtype=dtype))


def _load_text(folder: Path, dtype: torch.dtype) -> TextStack:
    from transformers import Gemma2Model, GemmaTokenizer

    tokenizer = read(GemmaTokenizer, folder / "tokenizer")
    tokenizer.padding_side = "right"
    return TextStack(tokenizer, load_network(Gemma2Model, folder / "text_encoder", dtype=dtype))


def load_transformer(folder: Path, dtype: torch.dtype) -> SanaVideoTransformer3DModel:
    """Load the transformer; its last modulation may stand in the files with an axis more than in the class.

    Loaders either stop there, or leave it random without a word: it is put right, and compared with the file.

    Raises:
        Failure: as `load_network`; or what was loaded is not what the file holds.
    """
    table = _table_in(folder)
    odd = table is not None and table.ndim > 2
    # only a load into real memory gives what is not taken from the files a value that can be written over
    arguments: dict[str, Any] = {"reshaped": (TABLE,), "low_cpu_mem_usage": False} if odd else {}
    model = load_network(SanaVideoTransformer3DModel, folder, torch_dtype=dtype, **arguments)
    if table is None:
        return model  # type: ignore[no-any-return]
    loaded: torch.Tensor = model.scale_shift_table
    if table.numel() == loaded.numel():
        wanted = table.reshape(loaded.shape).to(loaded.dtype)
        if odd:
            loaded.copy_(wanted)
        if torch.equal(loaded, wanted):
            return model  # type: ignore[no-any-return]
    raise Failure(
        f"{TABLE} in {folder} has the shape {tuple(table.shape)} and did not load",
        f"fetch the checkpoint again: the transformer wants {tuple(loaded.shape)}",
    )


def _table_in(folder: Path) -> torch.Tensor | None:
    """Return the last modulation as the files hold it."""
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            if TABLE in opened.keys():  # noqa: SIM118 - not a mapping
                found: torch.Tensor = opened.get_tensor(TABLE)
                return found
    return None


def load_scheduler(folder: Path) -> Any:
    """Load the scheduler of the class that its file names.

    A class takes a shift under its own name only and passes over the other's without a word: either name is read.

    Raises:
        Failure: another class, or one that is not set up for flow matching.
    """
    file = folder / "scheduler_config.json"
    try:
        config = json.loads(file.read_text())  # the real file holds -Infinity, which this reader takes
    except (OSError, ValueError) as error:
        raise Failure(f"{file} cannot be read: {error}", "fetch the checkpoint again") from error
    kinds = {kind.__name__: kind for kind in SHIFTS}
    kind = kinds.get(config.get("_class_name", ""))
    if kind is None:
        raise Failure(f"{file} is of {config.get('_class_name')}", f"known: {', '.join(kinds)}")
    names = [name for name in SHIFTS.values() if name in config]
    shift = {SHIFTS[kind]: config[names[0]]} if names and SHIFTS[kind] not in names else {}
    scheduler = read(kind, folder, **shift)
    flows = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    wrong = [name for name, value in flows.items() if scheduler.config.get(name, value) != value]
    if wrong:
        raise Failure(
            f"{file}: {wrong[0]} is {scheduler.config[wrong[0]]!r}, with which no clip comes out",
            f"write {json.dumps(flows[wrong[0]])} there",
        )
    return scheduler


def transformer_of(live: Any) -> Any:
    """Return the transformer of what `load` returned; a module, wrapped for training or not, stands for itself."""
    return live.transformer if isinstance(live, Denoiser) else live


def unwrapped(live: Any) -> SanaVideoTransformer3DModel:
    """Return the diffusers model itself, below whatever wraps it (data parallelism, compilation)."""
    return loading.unwrapped(transformer_of(live), SanaVideoTransformer3DModel)
