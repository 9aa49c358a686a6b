"""What trains of a transformer, as something done to it: an adapter beside its layers, or its own weights. Light.

The training loop knows no more than this: which parameters train is decided by `apply`, and `keep` makes the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from vflow.engine.problems import GraphError
from vflow.nodes.values import Learned, Transformation, Transformer

if TYPE_CHECKING:
    from vflow.engine.context import Context

#: transformations of this stage are adapters, or free weights to be trained
STAGE = 20


class Trains(Transformation):
    """A transformation after which some parameters of the transformer require gradients, and all others none."""

    stage: ClassVar[int] = STAGE
    #: what the transformer does then, for messages
    does: ClassVar[str] = "has an adapter"

    def count(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Return how many parameters train, from the shapes of the transformer's weights by name."""
        raise NotImplementedError

    def keep(self, transformer: Transformer, module: Any, step: int, context: Context) -> Learned:
        """Put what was trained of the live `module` into the store, and return it as the result after `step` steps."""
        raise NotImplementedError


def training_of(transformer: Transformer) -> Trains | None:
    """Return what trains of a recipe; None: nothing does."""
    return next((t for t in transformer.transformations if isinstance(t, Trains)), None)


def without_trained(transformer: Transformer) -> Transformer:
    """Return the recipe without the adapters on it and with nothing to train; all else done to it stays."""
    kept = tuple(t for t in transformer.transformations if t.stage != STAGE)
    return transformer.model_copy(update={"transformations": kept})


def refuse_training(transformer: Transformer) -> None:
    """Refuse a recipe on which something is trained, or an adapter stands: one thing is trained at a time.

    Raises:
        GraphError: it is such a recipe.
    """
    for done in transformer.transformations:
        if done.stage == STAGE:
            does = done.does if isinstance(done, Trains) else Trains.does
            raise GraphError(
                f"the transformer {does} already", "leave all but one of the nodes ApplyLoRA and Unfreeze out"
            )
