"""Adapters as things done to a model: a LoRA that trains, and a finished adapter to draw with. Declarations only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vflow.engine.problems import GraphError
from vflow.nodes.models.trained import STAGE, Trains, without_trained
from vflow.nodes.values import Adapter, Transformation, Transformer

if TYPE_CHECKING:
    from vflow.engine.context import Context


class LoRA(Trains):
    """Low-rank layers beside the linear layers whose whole name matches `pattern`; they train, the rest is frozen.

    The output is x W + (alpha / rank) B A x. B starts at zero and A is drawn from `seed`, or both come from `adapter`.
    """

    rank: int
    alpha: float
    dropout: float = 0.0
    pattern: str
    seed: int = 0
    adapter_dtype: Literal["float32", "bfloat16"] = "float32"
    adapter: Adapter | None = None

    def apply(self, module: Any, context: Context) -> Any:
        """Add the layers to the transformer.

        Raises:
            Failure: the pattern matches no linear layer, or the adapter to start from has other layers.
        """
        from vflow.nodes.models import adapting

        return adapting.add_lora(self, module, context)

    def undo(self, module: Any) -> bool:
        """Take all adapters off."""
        from vflow.nodes.models import adapting

        return adapting.remove_adapters(module)

    def count(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Return rank x (inputs + outputs), summed over the layers."""
        from vflow.nodes.models import facts

        return facts.lora_parameters(dict(shapes), self.pattern, self.rank)

    def keep(self, transformer: Transformer, module: Any, step: int, context: Context) -> Adapter:
        """Save the adapter as diffusers' pipeline loads it."""
        with context.scratch() as folder:
            blob = context.put(transformer.family.save_adapter(module, folder), ".safetensors")
        source = transformer.source
        return Adapter(blob=blob, family=source.family, rank=self.rank, step=step, base_content=source.content)


class Adapted(Transformation):
    """A finished adapter, frozen, with a weight: 1 is as trained, 0 is without."""

    stage: ClassVar[int] = STAGE

    adapter: Adapter
    weight: float = 1.0

    def apply(self, module: Any, context: Context) -> Any:
        """Load the adapter through its family.

        Raises:
            Failure: it does not fit.
        """
        from vflow.nodes.models import adapting

        return adapting.load_finished(self, module, context)

    def undo(self, module: Any) -> bool:
        """Take all adapters off."""
        from vflow.nodes.models import adapting

        return adapting.remove_adapters(module)


def with_adapter(transformer: Transformer, adapter: Adapter, weight: float = 1.0) -> Transformer:
    """Return the recipe with a finished adapter in place of the adapters on it, to draw with it.

    It is a transformation, not something that a node loads onto a live model, so that it stands inside the groups of
    an offload like the rest of the weights.

    Raises:
        GraphError: the adapter is of another family.
    """
    if adapter.family != transformer.source.family:
        raise GraphError(
            f"the adapter is of {adapter.family}, the transformer of {transformer.source.family}",
            "give an adapter that was trained on this family",
        )
    bare = without_trained(transformer)
    return bare.model_copy(update={"transformations": (*bare.transformations, Adapted(adapter=adapter, weight=weight))})
