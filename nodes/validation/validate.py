"""Drawing clips with what was trained: declaration. Light; drawing itself is in `drawing.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from vflow.engine.context import Context
from vflow.engine.node import Node
from vflow.engine.problems import Problem
from vflow.engine.values import Items
from vflow.nodes.models.first_frames import task_problems
from vflow.nodes.models.nodes import same_family
from vflow.nodes.values import Learned, Sampling, Transformer, Videos


class Validate(Node):
    """Draw the sampler's prompts with each adapter or set of weights, in place of what the transformer trains.

    Link one of them, or the list of a training's checkpoints. Every clip starts from the sampler's seed, so that the
    clips of two can be compared. Offloading on the transformer stays in force.
    """

    version: ClassVar[int] = 2

    def run(
        self, context: Context, transformer: Transformer, sampler: Sampling, adapter: Items[Learned]
    ) -> Iterator[Videos]:
        """Yield the clips of one adapter or set of weights after the other.

        Raises:
            Failure: an adapter does not fit the transformer.
        """
        from vflow.nodes.validation import drawing

        yield from drawing.validate(context, transformer, sampler, adapter)

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield what does not fit together."""
        yield from _problems(inputs)
        transformer: Transformer | None = inputs.get("transformer")
        if transformer is None:
            return
        family = transformer.source.family
        for other, noun in {(one.family, one.noun) for one in inputs.get("adapter") or () if one.family != family}:
            yield Problem(
                f"{noun} of {other} for a transformer of {family}",
                f"give {noun} that came from training this family",
                "inputs.adapter",
            )


class Draw(Node):
    """Draw the sampler's prompts with a transformer as it is: what a training begins from, or trained weights."""

    version: ClassVar[int] = 1

    def run(self, context: Context, transformer: Transformer, sampler: Sampling) -> Videos:
        """Return the clips. An adapter that is yet to be trained does nothing."""
        from vflow.nodes.validation import drawing

        (videos,) = drawing.draw(context, transformer, sampler, [(transformer, None)])
        return videos

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield what does not fit together."""
        yield from _problems(inputs)


def _problems(inputs: Mapping[str, Any]) -> Iterator[Problem]:
    transformer: Transformer | None = inputs.get("transformer")
    sampler: Sampling | None = inputs.get("sampler")
    if transformer is None:
        return
    yield from same_family(transformer, sampler.vae if sampler else None)
    if sampler is not None:
        how = "link Images or Stills to the images of the sampler"
        yield from task_problems(transformer, bool(sampler.images), how, "inputs.sampler")
