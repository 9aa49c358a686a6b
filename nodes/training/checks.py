"""What can be wrong with a training, known before anything heavy starts. Light."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vflow.engine.context import Context
from vflow.engine.problems import Failure, Problem
from vflow.engine.values import Items
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.facts import trained_parameters
from vflow.nodes.models.nodes import same_family
from vflow.nodes.models.offload import training_problems
from vflow.nodes.values import EMPTY_ROW, Sampling, Transformer

if TYPE_CHECKING:
    from vflow.nodes.training.train_loop import TrainLoop


def problems(node: TrainLoop, context: Context, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of settings and of those inputs that are known (the others are None)."""
    transformer: Transformer | None = inputs.get("transformer")
    yield from _of_settings(node)
    if transformer is not None:
        yield from _of_transformer(node, transformer)
        yield from training_problems(transformer, node.gradient_checkpointing)
        sampler: Sampling | None = inputs.get("sampler")
        yield from same_family(transformer, sampler.vae if sampler else None)
    yield from _of_samples(node, context, inputs.get("latents"), inputs.get("captions"))
    context.report(_facts(node, context, transformer))


def _facts(node: TrainLoop, context: Context, transformer: Transformer | None) -> dict[str, Any]:
    samples = node.batch_size * node.accumulation
    facts: dict[str, Any] = {"steps": node.steps, "samples per step": samples, "precision": node.precision}
    if transformer is not None and (trained := trained_parameters(transformer, context)):
        facts["trained parameters"] = trained
    return facts


def _of_settings(node: TrainLoop) -> Iterator[Problem]:
    if node.schedule.warmup_steps >= node.steps:
        yield Problem(
            f"the warm-up of {node.schedule.warmup_steps} steps does not end within {node.steps} steps",
            "the learning rate never reaches lr: warm up for fewer steps",
            "schedule.warmup_steps",
            severity="warning" if node.schedule.name == "constant" else "error",
        )
    if node.optimizer.name == "adamw_bf16" and node.precision == "fp32":
        yield Problem(
            "adamw_bf16 keeps the adapter in bfloat16, which precision fp32 does not want",
            "use optimizer.name: adamw, or precision: bf16",
            "precision",
        )


def _of_transformer(node: TrainLoop, transformer: Transformer) -> Iterator[Problem]:
    if node.precision == "fp32" and transformer.dtype != "float32":
        yield Problem(
            f"precision fp32 with a transformer that is loaded as {transformer.dtype}",
            "load it with dtype: float32, or use precision: bf16",
            "precision",
        )
    if not any(isinstance(transformation, LoRA) for transformation in transformer.transformations):
        yield Problem(
            "nothing of the transformer is to be trained",
            "put an ApplyLoRA node between it and TrainLoop",
            "inputs.transformer",
        )


def _of_samples(
    node: TrainLoop, context: Context, latents: Items[Any] | None, captions: Items[Any] | None
) -> Iterator[Problem]:
    from vflow.nodes.training.samples import join

    if latents is None or captions is None:
        return
    if node.caption_dropout and EMPTY_ROW not in captions.rows:
        yield Problem(
            "caption dropout needs the encoded empty caption", "encode captions with EncodeText", "inputs.captions"
        )
    try:
        join(latents, captions, context)
    except Failure as failure:
        yield Problem(failure.message, failure.remedy, "inputs.captions")
