"""What a family or a flavour brings to a graph that leaves it open: `vflow nodes --family`. Light."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vflow.engine.problems import GraphError, suggest
from vflow.nodes.families import families, family
from vflow.nodes.families.base import Family
from vflow.nodes.families.rules import Flavour
from vflow.nodes.values import Source, Task

#: a table: rows with the same columns
Rows = list[dict[str, Any]]

_TASKS: Mapping[Task, str] = {"t2v": "text to video", "i2v": "image to video", "either": "text or image to video"}


def tables(name: str) -> dict[str, Rows]:
    """Return titled tables of a family (`name`) or a flavour (`family/flavour`); of no name, those that there are.

    Raises:
        GraphError: there is no such family or flavour.
    """
    if not name:
        return {"families": [_summary(known) for known in families().values()]}
    of, _, flavour = name.partition("/")
    known = family(of)
    if flavour and flavour not in known.flavours:
        raise GraphError(f"{known.title} has no flavour {flavour!r}", suggest(flavour, known.flavours))
    chosen = {flavour: known.flavours[flavour]} if flavour else known.flavours
    source = Source(family=known.name, part="transformer", content="", model=name, kind="hub")
    return {
        f"{known.title}: what a graph may leave open": [
            {"node": node, "setting": setting, "default": default, "about": about}
            for node, setting, default, about in _defaults(known, source)
        ],
        "flavours": [_of_flavour(known, title, one) for title, one in chosen.items()],
        "LoRA targets": [
            {"target": title, "usual": title == known.default_lora_target, "about": target.about}
            for title, target in known.lora_targets.items()
        ],
        "transformer": _measures(known, source),
        "negative prompt": [{"text": known.negative_prompt}] if known.negative_prompt else [],
    }


def _summary(known: Family) -> dict[str, Any]:
    return {"family": known.name, "title": known.title, "flavours": ", ".join(known.flavours)}


def _of_flavour(known: Family, name: str, flavour: Flavour) -> dict[str, Any]:
    return {
        "model": f"{known.name}/{name}",
        "for": _TASKS[flavour.task or known.task] + (", with sound" if known.sound else ""),
        "repository": flavour.repository,
        "about": flavour.about,
    }


def _defaults(known: Family, source: Source) -> Iterator[tuple[str, str, Any, str]]:
    """Yield node, setting, default and a word about it, in the order of a graph."""
    rules, usual, tokens = known.rules_of(source), known.sampling_of(source), known.prompt_tokens
    sizes, lengths = f"multiples of {rules.size_multiple}", rules.frames_words
    yield "LoadVAE", "dtype", known.dtypes.get("vae", "bfloat16"), ""
    yield "BucketVideos", "resolution", min(usual.width, usual.height), sizes
    yield "BucketVideos", "frames", usual.frames, lengths
    yield "BucketVideos", "fps", rules.fps, ""
    yield "BucketVideos", "size_multiple", rules.size_multiple, "or a multiple of it"
    yield "BucketVideos", "frame_step", rules.frames_step, "or a multiple of it"
    yield "EncodeVideo", "posterior", known.posterior, ""
    yield "EncodeText", "max_tokens", tokens.usual, _steps(tokens.multiple, tokens.most)
    own = "its own, below" if known.negative_prompt else "the empty caption"
    yield "Prompts", "negative", own, "where the text encoder is linked"
    if known.least_prompt_words:
        yield "Prompts", "prompts", f"{known.least_prompt_words} words or more", "fewer are warned of"
    yield "ApplyLoRA", "target", known.default_lora_target, ""
    yield "TrainLoop", "flow.shift", known.noise, "of flow.distribution: family"
    yield "Sampler", "resolution", f"{usual.width}x{usual.height}", sizes
    yield "Sampler", "frames", usual.frames, lengths
    yield "Sampler", "fps", rules.fps, ""
    yield "Sampler", "steps", usual.steps, f"at least {usual.least_steps}" if usual.least_steps > 1 else ""
    yield "Sampler", "guidance", usual.guidance, ""
    for name, option in known.sampling_options.items():
        yield "Sampler", f"options.{name}", option.default, option.about


def _steps(multiple: int, most: int) -> str:
    return f"multiples of {multiple} up to {most}" if multiple > 1 else f"up to {most}"


def _measures(known: Family, source: Source) -> Rows:
    anatomy = known.anatomy_of(source)
    if anatomy is None:
        return []
    return [{"parameters": f"{anatomy.parameters / 1e9:.2f}B", "width": anatomy.width, "blocks": anatomy.blocks}]
