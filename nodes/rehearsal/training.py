"""A training before it begins; see the modules that are called here for what each proves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vflow.engine.rehearsal import Check
from vflow.nodes.rehearsal import drawing, forward, result
from vflow.nodes.rehearsal.stepping import Stepping
from vflow.nodes.rehearsal.subject import Subject

if TYPE_CHECKING:
    from vflow.engine.contexts import RehearsalContext
    from vflow.nodes.training import loop
    from vflow.nodes.training.train_loop import TrainLoop


def checks(node: TrainLoop, context: RehearsalContext, inputs: loop.Inputs) -> Iterator[Check]:
    """Hold a training against its pipeline, take three steps, stop and go on, load the result, draw."""
    subject = Subject(node, context, inputs)
    yield from forward.checks(subject)
    stepping = Stepping(subject)
    yield from stepping.checks()
    if stepping.result is not None:
        yield from result.checks(subject, stepping, stepping.result)
    yield from drawing.checks(subject)
