"""What can be wrong with a training, known before anything heavy starts. Light."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vflow.engine.context import Context
from vflow.engine.problems import Failure, Problem
from vflow.engine.values import Items
from vflow.nodes.models.facts import trained_parameters
from vflow.nodes.models.first_frames import is_given, task_problems
from vflow.nodes.models.nodes import same_family
from vflow.nodes.models.offload import offload_of, training_problems
from vflow.nodes.models.trained import training_of
from vflow.nodes.models.weights import Unfrozen
from vflow.nodes.training import sounding
from vflow.nodes.values import EMPTY_ROW, Sampling, Transformer

if TYPE_CHECKING:
    from vflow.nodes.training.train_loop import TrainLoop


#: bytes per parameter that trains, as `optim` keeps them
BYTES = {
    "adamw": {"weight": 4, "gradient": 4, "moments": 8},
    "adamw_bf16": {"weight": 2, "gradient": 2, "moments": 4},
}


def problems(node: TrainLoop, context: Context, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of settings and of those inputs that are known (the others are None)."""
    transformer: Transformer | None = inputs.get("transformer")
    yield from _of_settings(node)
    if transformer is not None:
        yield from _of_transformer(node, transformer)
        yield from training_problems(transformer, node.gradient_checkpointing)
        sampler: Sampling | None = inputs.get("sampler")
        yield from same_family(transformer, sampler.vae if sampler else None)
        yield from _of_images(transformer, sampler, context, inputs)
        yield from sounding.problems(transformer, context, inputs)
    yield from _of_samples(node, context, inputs)
    context.report(_facts(node, context, transformer) | sounding.described(transformer, context, inputs))


def _facts(node: TrainLoop, context: Context, transformer: Transformer | None) -> dict[str, Any]:
    samples = node.batch_size * node.accumulation
    facts: dict[str, Any] = {"steps": node.steps, "samples per step": samples, "precision": node.precision}
    if transformer is not None and (trained := trained_parameters(transformer, context)):
        facts["trained parameters"] = trained
        sizes = BYTES[node.optimizer.name]
        facts["bytes to train in"] = trained * sum(sizes.values())
        facts["bytes of a training state"] = trained * (sizes["weight"] + sizes["moments"])
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
            "adamw_bf16 keeps what it trains in bfloat16, which precision fp32 does not want",
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
    clean, task = node.flow.first_frame_probability, transformer.source.task
    if clean is not None and (task == "i2v" or (task == "t2v" and clean)):
        begins = "every clip begins with its image" if task == "i2v" else "no clip begins with an image"
        yield Problem(
            f"{transformer.source.model} does one task: {begins}, whatever the probability",
            "leave it empty",
            "flow.first_frame_probability",
        )
    training = training_of(transformer)
    if training is None:
        yield Problem(
            "nothing of the transformer is to be trained",
            "put ApplyLoRA or Unfreeze between it and TrainLoop",
            "inputs.transformer",
        )
    if isinstance(training, Unfrozen) and offload_of(transformer) is not None:
        yield Problem(
            "GroupOffload moves nothing that trains: weights that Unfreeze names stay on the GPU, with their gradients",
            "leave GroupOffload out, or train part of the weights (Unfreeze: pattern), or an adapter (ApplyLoRA)",
            "inputs.transformer",
            severity="hint" if training.pattern != ".*" else "warning",
        )


def _of_images(
    transformer: Transformer, sampler: Sampling | None, context: Context, inputs: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield where the checkpoint's task and the first frames do not go together; some may not be encoded yet."""
    images, held_out = is_given("images", context, inputs), is_given("held_out_images", context, inputs)
    how = "take the clips' first frames (Images), encode them (EncodeImage) and link them to images"
    yield from task_problems(transformer, images, how)
    if images != held_out and is_given("held_out_latents", context, inputs):
        missing, there = ("held_out_images", "images") if images else ("images", "held_out_images")
        found = f"{there} are linked, but no {missing}: the evaluation would be of another task than the training"
        yield Problem(found, f"link first frames to both, or to none: {missing}", "inputs")
    if sampler is not None:
        how = "link Images or Stills to the images of the sampler"
        yield from task_problems(transformer, bool(sampler.images), how, "inputs.sampler")


def _of_samples(node: TrainLoop, context: Context, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    from vflow.nodes.training.samples import join

    latents: Items[Any] | None = inputs.get("latents")
    captions: Items[Any] | None = inputs.get("captions")
    if latents is None or captions is None:
        return
    if node.caption_dropout and EMPTY_ROW not in captions.rows:
        yield Problem(
            "caption dropout needs the encoded empty caption", "encode captions with EncodeText", "inputs.captions"
        )
    try:
        join(latents, captions, context, inputs.get("images"), inputs.get("audio"))
    except Failure as failure:
        yield Problem(failure.message, failure.remedy, "inputs.captions")
