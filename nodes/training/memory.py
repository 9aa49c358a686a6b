"""What a plan says of the memory that its trainings take on the GPU, before anything is encoded. Light.

The card that it is held against is the one that a profile is named after (`24gb`), else the one in this machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vflow.engine.problems import Problem
from vflow.nodes.models import facts, memory
from vflow.nodes.models.memory import GIB
from vflow.nodes.training.checks import BYTES
from vflow.nodes.training.train_loop import TrainLoop
from vflow.nodes.values import Latent, Transformer, Window

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.engine.plan import Plan
    from vflow.engine.session import Session
    from vflow.engine.steps import Step
    from vflow.nodes.families.rules import Anatomy

_PROFILE = re.compile(r"(\d+)gb")


@dataclass(frozen=True)
class Estimate:
    """A training of a plan: its largest sample, and what a batch of those needs."""

    step: str
    largest: tuple[int, int, int]
    batch: int
    need: memory.Need

    @property
    def size(self) -> str:
        """The largest sample in words."""
        frames, height, width = self.largest
        return f"{self.batch} x {width}x{height}, {frames} frames"


def lines(session: Session) -> Iterator[str]:
    """Yield a line for each training of the plan: a section of `vflow plan`."""
    for found in estimates(session):
        need = found.need
        yield (
            f"{found.step}: about {need.total / GIB:.0f} GiB of GPU memory for {found.size} (weights "
            f"{need.weights / GIB:.1f}, what trains {need.trained / GIB:.1f}, activations {need.activations / GIB:.1f})"
        )


def problems(session: Session) -> Iterator[Problem]:
    """Yield a warning for each training that is not likely to fit."""
    has = card_of(session.loaded.profiles)
    if has is None:
        return
    for found in estimates(session):
        if found.need.total > has:
            told = f"a step on {found.size} takes about {found.need.total / GIB:.0f} GiB, the card has {has / GIB:.0f}"
            remedy = (
                "use a smaller resolution, fewer frames or a smaller batch, or put a GroupOffload on the transformer"
            )
            yield session.loaded.place(Problem(told, remedy, severity="warning"), found.step)


def card_of(profiles: Sequence[str]) -> float | None:
    """Return the bytes of the card that a graph is for: of the last profile named after one, else of this machine."""
    named = [match[1] for profile in profiles if (match := _PROFILE.fullmatch(profile))]
    return float(named[-1]) * GIB if named else memory.card()


def estimates(session: Session) -> Iterator[Estimate]:
    """Yield what the trainings need that are to run, as far as their model and samples are known."""
    for step in session.plan.pending():
        if isinstance(step.node, TrainLoop):
            yield from _estimate(session, step, step.node)


def _estimate(session: Session, step: Step, node: TrainLoop) -> Iterator[Estimate]:
    transformer: Transformer | None = session.plan.inputs_of(step).get("transformer")
    sizes = _sizes(session.plan, step)
    anatomy = transformer.family.anatomy_of(transformer.source) if transformer else None
    context = session.world.context_for(step)
    if transformer is None or anatomy is None or not sizes or not _is_of(transformer, anatomy, context):
        return
    largest = max(sizes, key=lambda size: (memory.tokens_of(transformer.rules, anatomy, size), size))
    need = memory.of_training(
        transformer,
        anatomy,
        node.batch_size * memory.tokens_of(transformer.rules, anatomy, largest),
        trained_bytes=sum(BYTES[node.optimizer.name].values()),
        checkpointing=node.gradient_checkpointing,
        full_precision=node.precision == "fp32",
        trained=facts.trained_parameters(transformer, context),
    )
    yield Estimate(step.name, largest, node.batch_size, need)


def _is_of(transformer: Transformer, anatomy: Anatomy, context: Context) -> bool:
    """Tell whether the family's measures are this checkpoint's: a variant may be far smaller, or larger."""
    shapes = facts.weight_shapes(transformer.source, context)
    return shapes is None or 0.5 < sum(map(math.prod, shapes.values())) / anatomy.parameters < 2


def _sizes(plan: Plan, step: Step) -> set[tuple[int, int, int]]:
    """Return the sizes of a training's samples: of its latents, or while those are not there, of their windows."""
    found: set[tuple[int, int, int]] = set()
    for link in step.bound.links.get("latents", ()):
        values = plan.value_of(link.node, link.output)
        if values is None:
            encoder = plan.steps[link.node]
            values = plan.inputs_of(encoder).get(encoder.node.per_item)
        found |= {(v.frames, v.height, v.width) for v in values or () if isinstance(v, (Latent, Window))}
    return found
