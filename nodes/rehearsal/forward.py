"""One training input and one step of the scheduler, held against the family's diffusers pipeline."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from safetensors import safe_open

from vflow.engine.rehearsal import Check, failed, passed, skipped
from vflow.nodes.families.exchange import Batch, Prediction
from vflow.nodes.families.loading import stays_float32
from vflow.nodes.families.parity import Parity, Watched, as_tokens, predicted, through_network, tokens_of
from vflow.nodes.models import facts, fetch
from vflow.nodes.rehearsal.checking import guarded, listed
from vflow.nodes.rehearsal.subject import REPORT, Subject

_SMALL = 2**20  # numbers of a tensor that is compared with its file
#: how far a step by our prediction may be from the scheduler's, as a share of the step
_STEP = {torch.float32: 0.01, torch.bfloat16: 0.1, torch.float16: 0.05}


def checks(subject: Subject) -> Iterator[Check]:
    """Compare what is loaded with the files, and what training gives the transformer with the pipeline."""
    with subject.context.load(subject.recipe) as live:
        yield from guarded("weights as loaded", subject.context, _as_loaded(subject, live))
        if why := subject.not_comparable():
            yield skipped("transformer input", why)
        elif subject.parity is not None:
            yield from guarded("transformer input", subject.context, _input(subject, live, subject.parity))


def _as_loaded(subject: Subject, live: Any) -> Iterator[Check]:
    """See that weights are what the files hold, and that those are in float32 that have to be."""
    module = live.modules()["transformer"]
    there = dict(module.named_parameters())
    rounded = [
        f"{name} is {str(parameter.dtype).removeprefix('torch.')}"
        for name, parameter in there.items()
        if parameter.is_floating_point() and stays_float32(module, name) and parameter.dtype != torch.float32
    ]
    wrong, count = [], 0
    for name, tensor in _small_tensors(subject):
        parameter = there.get(name)
        if parameter is None or not parameter.is_floating_point():
            continue
        count += 1
        same = tensor.numel() == parameter.numel()
        if not same or not torch.equal(tensor.view(parameter.shape).to(parameter.dtype), parameter.detach().cpu()):
            wrong.append(name)
    if rounded:
        told = f"layers that have to stay in float32 do not: {listed(rounded)}"
        yield failed("weights as loaded", told, REPORT)
    elif wrong:
        told = f"{len(wrong)} of {count} tensors are not what the files hold: {listed(wrong)}"
        yield failed("weights as loaded", told, REPORT)
    elif not count:
        yield skipped("weights as loaded", "the files name their weights otherwise than the class")
    else:
        yield passed("weights as loaded", f"{count} tensors are what the files hold")


def _small_tensors(subject: Subject) -> Iterator[tuple[str, torch.Tensor]]:
    network = subject.family.folders["transformer"][0]
    for name, file in facts.weight_files(subject.recipe.source, subject.context):
        if not name.startswith(f"{network}/"):
            continue
        with safe_open(file, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118 - not a mapping
                if math.prod(opened.get_slice(key).get_shape()) <= _SMALL:
                    yield key, opened.get_tensor(key)


def _input(subject: Subject, live: Any, parity: Parity) -> Iterator[Check]:
    """Watch the pipeline; give training the same noised latents at both levels of noise that were seen."""
    batch, watched = subject.watched(live)
    yield from guarded("schedule", subject.context, _schedule(subject, parity, watched, batch))
    if len({_timestep(call) for call in watched.calls}) < len(watched.calls):
        told = "the pipeline asks the transformer several times in one step"
        yield failed("scheduler step", told, "guidance that was not asked for is on: please report this")
        return
    wrong: list[str] = []
    said = None
    for place in (1, 0):  # at the second level only the input is wanted, and not what the transformer says to it
        call, sigma = watched.calls[place], watched.sigmas[place]
        ours, said = predicted(subject.family, live, batch, call, sigma, answered=place == 0)
        wrong += parity.differences(ours, call, batch, live.modules()["transformer"])
    if wrong:
        yield failed("transformer input", listed(list(dict.fromkeys(wrong))), REPORT)
    else:
        told = f"{len(watched.calls[0])} arguments are what the pipeline gives, at two levels of noise"
        yield passed("transformer input", told)
    assert said is not None
    yield from guarded("scheduler step", subject.context, _step(subject, parity, watched, batch, said))


def _schedule(subject: Subject, parity: Parity, watched: Watched, batch: Batch) -> Iterator[Check]:
    file = fetch.folder_of(subject.recipe.source, subject.context) / "scheduler" / "scheduler_config.json"
    doubts = list(parity.schedule_doubts(watched.pipeline.scheduler, json.loads(file.read_text()), batch))
    if doubts:
        yield failed("schedule", listed(doubts), "clips would be drawn along another schedule: please report this")
    else:
        levels = " and ".join(f"{sigma:.3f}" for sigma in watched.sigmas)
        yield passed("schedule", f"as the checkpoint sets it: two steps begin at {levels}")


def _step(subject: Subject, parity: Parity, watched: Watched, batch: Batch, said: Prediction) -> Iterator[Check]:
    """Compare answers, the scheduler's step with Euler's by our prediction, and what is stepped with what counts."""
    prediction = said.prediction.float().cpu()
    apart, rounding = through_network(prediction, as_tokens(watched.answers[0], batch), subject.dtype)
    if said.audio is not None:
        apart = max(apart, through_network(said.audio.prediction, watched.answers[1], subject.dtype)[0])
    if not apart <= rounding:
        told = f"the transformer's answer is {apart:.2g} of itself away from the pipeline's; {rounding:.2g} is rounding"
        yield failed("scheduler step", told, REPORT)
        return
    before, after = (tokens_of(parity.noised(call, batch)).float().cpu() for call in watched.calls)
    stepped, counts = (after != before).any(-1).any(0), (said.weight > 0).cpu().squeeze(-1).any(0)
    if not torch.equal(stepped, counts):
        told = f"{int(counts.sum())} tokens count in the loss, the pipeline steps {int(stepped.sum())}"
        yield failed("scheduler step", told, REPORT)
        return
    ours = (watched.sigmas[1] - watched.sigmas[0]) * prediction[:, stepped]
    theirs = (after - before)[:, stepped]
    off = float((ours - theirs).square().mean().sqrt() / theirs.square().mean().sqrt())
    if not off <= _STEP[subject.dtype]:
        told = f"a step by our prediction is {off:.2g} of itself away from the scheduler's"
        yield failed("scheduler step", told, REPORT)
    else:
        yield passed("scheduler step", f"Euler's by our prediction, but for {off:.1g} of it")


def _timestep(given: Mapping[str, Any]) -> float:
    return float(given["timestep"].float().max())
