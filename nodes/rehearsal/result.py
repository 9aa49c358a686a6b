"""What a training gives, loaded again: in the family's pipeline as its users do, and as `Validate` does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from vflow.engine.problems import Failure
from vflow.engine.rehearsal import Check, failed, passed, skipped
from vflow.nodes.families.parity import Parity
from vflow.nodes.rehearsal.checking import guarded
from vflow.nodes.rehearsal.stepping import Stepping
from vflow.nodes.rehearsal.subject import REPORT, Subject
from vflow.nodes.values import Adapter, Learned

#: how far what is loaded may be from what was trained, as a share of what the training did: of an adapter, and of whole
#: weights, which may be kept in a coarser type
_ADAPTER, _WEIGHTS = 0.1, 0.5
_NAMES = "its names are not those that the pipeline looks for: please report this"


def checks(subject: Subject, stepping: Stepping, result: Learned) -> Iterator[Check]:
    """Check an adapter, or whole weights."""
    name = "adapter" if isinstance(result, Adapter) else "trained weights"
    if (why := subject.not_comparable()) or subject.parity is None:
        yield skipped(name, why)
        return
    with subject.context.load(subject.inputs.transformer) as live:
        stepping.put_into(live)
        trained = _answer(subject, live)
    with subject.context.load(subject.recipe) as live:
        without = _answer(subject, live)
    if torch.equal(trained, without):
        yield failed(name, "what was trained changes nothing of what the transformer says", REPORT)
    elif isinstance(result, Adapter):
        yield from guarded(name, subject.context, _adapter(subject, result, subject.parity, trained, without))
    else:
        yield from guarded(name, subject.context, _weights(subject, result, trained, without))


def _adapter(
    subject: Subject, adapter: Adapter, parity: Parity, trained: torch.Tensor, without: torch.Tensor
) -> Iterator[Check]:
    file = _file_of(subject, adapter)

    def load(pipeline: Any) -> None:
        try:
            parity.load_into(pipeline, file)
        except Exception as error:  # loaders fail in as many ways as files can be wrong
            raise Failure(f"the pipeline does not load the adapter's file: {error}", _NAMES) from error

    with subject.context.load(subject.recipe) as live:
        try:
            _, watched = subject.watched(live, load)
        finally:
            live.modules()["transformer"].unload_lora()
    loaded, ours = watched.answers[0].cpu(), _with(subject, adapter)
    if torch.equal(loaded, without):
        yield failed("adapter", "the pipeline loads nothing of the adapter's file", _NAMES)
        return
    for whose, answer in (("the pipeline, with the adapter's file,", loaded), ("validation, with the adapter,", ours)):
        if (apart := _apart(answer, trained, without)) > _ADAPTER:
            told = f"{whose} is {apart:.2g} of what the training did away from what was trained"
            yield failed("adapter", told, REPORT)
            return
    same = "the same bits" if torch.equal(loaded, ours) else f"{_apart(loaded, ours, without):.1g} of its effect apart"
    yield passed("adapter", f"the pipeline loads it, and says with it what validation will: {same}")


def _weights(subject: Subject, weights: Learned, trained: torch.Tensor, without: torch.Tensor) -> Iterator[Check]:
    apart = _apart(_with(subject, weights), trained, without)
    if apart > _WEIGHTS:
        told = f"loaded again, they are {apart:.2g} of what the training did away from what was trained"
        yield failed("trained weights", told, REPORT)
    else:
        yield passed("trained weights", f"loaded again, they are what was trained, but for {apart:.1g} of it")


def _apart(answer: torch.Tensor, wanted: torch.Tensor, without: torch.Tensor) -> float:
    """Return how far an answer is from the wanted one, as a share of how far that is from the one without training."""
    return float((answer - wanted).square().mean().sqrt() / (wanted - without).square().mean().sqrt())


def _with(subject: Subject, result: Learned) -> torch.Tensor:
    """Return what the transformer says with a result on it, as drawing loads it."""
    recipe = result.onto(subject.inputs.transformer)
    with subject.context.load(recipe, keep=recipe.base == subject.recipe.base) as live:
        return _answer(subject, live)


def _answer(subject: Subject, live: Any) -> torch.Tensor:
    """Return what the transformer says in the first step of a clip of the sample's caption."""
    _, watched = subject.watched(live)
    return watched.answers[0].cpu()


def _file_of(subject: Subject, adapter: Adapter) -> Path:
    """Return the adapter's file under the name that it has for users."""
    (name, blob) = next(iter(adapter.plain_files()))
    folder = subject.context.work / "adapter"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(subject.context.blob_path(blob), folder / name)
    return folder / name
