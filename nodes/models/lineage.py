"""Whether all models that stand behind a transformer's work are of one family, seen over a whole plan. Light.

Latents and embeddings do not say which encoder made them before they are made; the graph does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vflow.engine.problems import Problem
from vflow.nodes.values import Model, Transformer

if TYPE_CHECKING:
    from vflow.engine.plan import Plan
    from vflow.engine.session import Session
    from vflow.engine.steps import Step


def problems(session: Session) -> Iterator[Problem]:
    """Yield each model of another family that stands behind a port of a node with a transformer, once."""
    plan, seen = session.plan, set()
    for step in plan.pending():
        for transformer in _transformers(plan, step):
            for port, model in _others(plan, step, transformer):
                mine, other = transformer.source, model.source
                if other in seen:
                    continue
                seen.add(other)
                told = f"what is linked to {port} comes from the {other.part} of {other.family} ({other.model})"
                remedy = f"load it from a model of {mine.family}, as the transformer is ({mine.model})"
                yield session.loaded.place(Problem(told, remedy, f"inputs.{port}"), step.name)


def _transformers(plan: Plan, step: Step) -> list[Transformer]:
    return [value for value in plan.inputs_of(step).values() if isinstance(value, Transformer)]


def _others(plan: Plan, step: Step, transformer: Transformer) -> Iterator[tuple[str, Model]]:
    """Yield each port behind which a model of another family stands, with the first of them."""
    for port, links in step.bound.links.items():
        behind = (model for link in links for model in _models(plan, link.node, link.output, set()))
        other = next((model for model in behind if model.source.family != transformer.source.family), None)
        if other is not None:
            yield port, other


def _models(plan: Plan, name: str, output: str, seen: set[str]) -> Iterator[Model]:
    """Yield the models that an output is, or comes from."""
    value = plan.value_of(name, output)
    if isinstance(value, Model):
        yield value
        return
    if name in seen:
        return
    seen.add(name)
    for links in plan.steps[name].bound.links.values():
        for link in links:
            yield from _models(plan, link.node, link.output, seen)
