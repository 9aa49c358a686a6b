"""Group offload as something done to a model: weights lie in main memory and visit the GPU group by group.

Declarations only; `offloading.py` does it. What a training loop has to know: the backward pass needs the weights of a
group again after the group has left. With gradient checkpointing a block is computed once more and brings its weights
back with it, so offload while training needs checkpointing on a GPU; and since blocks come back one by one and in
reverse, prefetching on a stream and groups of several blocks do not work then and are switched off, visibly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from vflow.engine.problems import Problem
from vflow.nodes.models.device import on_accelerator
from vflow.nodes.values import Model, Transformation

if TYPE_CHECKING:
    from vflow.engine.context import Context

STAGE = 40

AnyModel = TypeVar("AnyModel", bound=Model)


class Placement(Transformation):
    """A transformation that decides where weights lie, and so is no part of what the model is."""

    stage: ClassVar[int] = STAGE
    places: ClassVar[bool] = True

    def active(self, device: str) -> bool:
        """Tell whether it does anything for a model computed on a device of this type (`cuda`, `cpu`)."""
        raise NotImplementedError


class GroupOffloading(Placement):
    """diffusers' group offload; the fields are those of its `apply_group_offloading`. `device` is the model's own."""

    level: Literal["block", "leaf"] = "block"
    blocks_per_group: int = 1
    stream: bool = False
    record_stream: bool = False
    non_blocking: bool = False
    low_cpu_mem_usage: bool = False
    force: bool = False
    device: str = "auto"

    def active(self, device: str) -> bool:
        """Tell whether there is a GPU to spare, or hooks are forced."""
        return self.force or device != "cpu"

    def apply(self, module: Any, context: Context) -> Any:
        """Hook the modules; trainable parameters stay on the device."""
        from vflow.nodes.models import offloading

        return offloading.offload(self, module, context)

    def undo(self, module: Any) -> bool:
        """Take the hooks off; the weights then lie in main memory."""
        from vflow.nodes.models import offloading

        return offloading.remove_hooks(module)


def offload_of(model: Model) -> GroupOffloading | None:
    """Return the offload in a recipe; the last one, if there are several."""
    return next((t for t in reversed(model.transformations) if isinstance(t, GroupOffloading)), None)


def for_training(model: AnyModel, checkpointing: bool) -> AnyModel:
    """Return the recipe to train with: with checkpointing, its offload goes block by block without a stream."""
    if not checkpointing:
        return model
    plain = {"stream": False, "record_stream": False, "blocks_per_group": 1}
    changed = tuple(t.model_copy(update=plain) if isinstance(t, GroupOffloading) else t for t in model.transformations)
    return model.model_copy(update={"transformations": changed})


def training_problems(model: Model, checkpointing: bool) -> Iterator[Problem]:
    """Yield what training with this recipe's offload will not do; for the preflight of a training loop."""
    offload = offload_of(model)
    if offload is None or not on_accelerator(offload.device):
        return
    if not checkpointing:
        yield Problem(
            "group offload cannot train without gradient checkpointing: the backward pass finds the weights gone",
            "set gradient_checkpointing: true, or leave GroupOffload out",
        )
    elif offload.stream or offload.blocks_per_group > 1:
        yield Problem(
            "with gradient checkpointing, group offload trains without a stream and one block at a time",
            "nothing to do; drawing still uses the settings as written",
            severity="hint",
        )
