"""The nodes of full fine-tuning: letting a transformer's own weights train, and taking up trained ones. All light."""

from __future__ import annotations

import re
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from vflow.engine.context import Context
from vflow.engine.node import Node, private
from vflow.engine.problems import GraphError
from vflow.nodes.models import facts, weights
from vflow.nodes.models.trained import refuse_training
from vflow.nodes.values import Transformer, Weights

_MOST_PATTERN = 1000


class Unfreeze(Node):
    """Train the transformer's own weights, all of them or those that `pattern` names: full fine-tuning.

    The result is a folder that `from_pretrained` of the transformer's class loads, frozen weights in it too. With
    `optimizer.name: adamw` a weight that trains takes 16 bytes of GPU memory (itself, its gradient and two moments in
    float32), with `adamw_bf16` 8 bytes.
    """

    light: ClassVar[bool] = True

    pattern: str = Field(
        ".*", min_length=1, max_length=_MOST_PATTERN, description="Which weights, by a regular expression for names."
    )
    saved_as: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="The type in which results are kept; training states keep what they train in."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern is no regular expression: {error}") from error
        return self

    def run(self, context: Context, model: Transformer) -> Transformer:
        """Return the recipe with its weights to be trained.

        Raises:
            GraphError: something is to be trained already, an adapter is on it, or no weight matches.
        """
        refuse_training(model)
        unfrozen = weights.Unfrozen(pattern=self.pattern, saved_as=self.saved_as)
        shapes = facts.weight_shapes(model.source, context)
        if shapes is not None:
            matching = weights.matching(shapes, self.pattern)
            if not matching:
                raise GraphError(
                    f"no weight of the transformer matches {self.pattern!r}",
                    f"a pattern has to match whole names, such as {min(shapes)}",
                )
            context.report({"weights": len(matching), "parameters trained": unfrozen.count(shapes)})
        return model.model_copy(update={"transformations": (*model.transformations, unfrozen)})


class LoadWeights(Node):
    """Take a transformer's trained weights from a folder, to draw with in `Validate`.

    To train or adapt them further, name the folder as `weights` of `LoadTransformer`.
    """

    light: ClassVar[bool] = True

    source: str = private(
        when="path", min_length=1, description="A component folder as full fine-tuning gives it, or a model's folder."
    )

    def run(self, context: Context) -> Weights:
        """Return the weights; nothing is copied."""
        found = weights.read_weights(self.source, context)
        context.report({"weights": self.source, "family": found.family, "files": len(found.files)})
        return found
