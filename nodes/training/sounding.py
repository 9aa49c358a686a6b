"""What a training says of sound before it starts: whether clips train with theirs, and what does not fit. Light."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import Problem
from vflow.nodes.models import facts
from vflow.nodes.models.adapters import LoRA
from vflow.nodes.models.first_frames import is_given
from vflow.nodes.models.trained import training_of
from vflow.nodes.values import Transformer

if TYPE_CHECKING:
    from vflow.engine.context import Context


def problems(transformer: Transformer, context: Context, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield where sound and model do not go together; what is linked may not be encoded yet."""
    family, sound, held_out = transformer.family, *(is_given(n, context, inputs) for n in ("audio", "held_out_audio"))
    if not family.sound:
        if sound or held_out:
            where = "inputs.audio" if sound else "inputs.held_out_audio"
            yield Problem(f"{family.title} has no sound", "leave EncodeAudio out, and what is linked to it", where)
        return
    if sound != held_out and is_given("held_out_latents", context, inputs):
        missing, there = ("held_out_audio", "audio") if sound else ("audio", "held_out_audio")
        yield Problem(
            f"sound is linked to {there}, but not to {missing}: the evaluation would be of another task",
            f"link EncodeAudio to both, or to none: {missing}",
            "inputs",
            severity="warning",
        )
    if not sound and _is_of_sound_alone(transformer, context):
        yield Problem(
            "the adapter has layers of the sound alone, and clips train without theirs",
            "link EncodeAudio to audio, or choose another target at ApplyLoRA",
            "inputs.transformer",
        )
    if sound and not _reaches_sound(transformer, context):
        yield Problem(
            "clips train with their sound, but the adapter has no layer that the sound passes through",
            f"write target: {family.sound_target} at ApplyLoRA",
            "inputs.transformer",
            severity="warning",
        )


def described(transformer: Transformer | None, context: Context, inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return how clips train, in words for the plan; nothing for families without sound."""
    if transformer is None or not transformer.family.sound:
        return {}
    given = inputs.get("audio")
    if given is not None:
        silent = sum(latent.silent for latent in given)
        return {"sound": f"{len(given) - silent} of {len(given)} clips train with theirs"}
    if is_given("audio", context, inputs):
        return {"sound": "clips train with theirs, where they have some"}
    return {"sound": "off, nothing is linked to audio"}


def _reaches_sound(transformer: Transformer, context: Context) -> bool:
    """Tell whether an adapter has a layer in the sound's stream; of what is not known yet, and of all else, it does."""
    return any(_of_sound(transformer, context) or (True,))


def _is_of_sound_alone(transformer: Transformer, context: Context) -> bool:
    """Tell whether an adapter has no layer but in the sound's stream, as far as that is known."""
    return all(_of_sound(transformer, context) or (False,))


def _of_sound(transformer: Transformer, context: Context) -> list[bool]:
    """Return of each layer of an adapter whether it is in the sound's stream; nothing where that is not known."""
    training, shapes = training_of(transformer), facts.weight_shapes(transformer.source, context)
    if not isinstance(training, LoRA) or shapes is None:
        return []
    within = re.compile(transformer.family.sound_modules)
    return [within.fullmatch(name) is not None for name in facts.lora_modules(shapes, training.pattern)]
