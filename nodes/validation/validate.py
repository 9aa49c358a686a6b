"""Drawing clips with adapters: declaration. Light; drawing itself is in `drawing.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vflow.engine.context import Context
from vflow.engine.node import Node
from vflow.engine.problems import Problem
from vflow.engine.values import Items
from vflow.nodes.models.nodes import same_family
from vflow.nodes.values import Adapter, Sampling, Transformer, Videos


class Validate(Node):
    """Draw the sampler's prompts with each adapter, in place of the LoRA that the transformer trains.

    Link one adapter, or the list of a training's checkpoints. Every clip starts from the sampler's seed, so that the
    clips of two adapters can be compared. Offloading on the transformer stays in force.
    """

    def run(
        self, context: Context, transformer: Transformer, sampler: Sampling, adapter: Items[Adapter]
    ) -> Iterator[Videos]:
        """Yield the clips of one adapter after the other.

        Raises:
            Failure: an adapter does not fit the transformer.
        """
        from vflow.nodes.validation import drawing

        yield from drawing.validate(context, transformer, sampler, adapter)

    def preflight(self, context: Context, **inputs: Any) -> Iterator[Problem]:
        """Yield what does not fit together."""
        transformer: Transformer | None = inputs.get("transformer")
        sampler: Sampling | None = inputs.get("sampler")
        if transformer is None:
            return
        yield from same_family(transformer, sampler.vae if sampler else None)
        family = transformer.source.family
        for other in {adapter.family for adapter in inputs.get("adapter") or ()} - {family}:
            yield Problem(
                f"an adapter of {other} for a transformer of {family}",
                "give an adapter that was trained on this family",
                "inputs.adapter",
            )
