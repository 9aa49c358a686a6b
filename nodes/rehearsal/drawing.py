"""A clip of the sampler in as few steps as there can be: that it comes out, and what the drawings on the way take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from vflow.engine.rehearsal import Check, Cost, failed, passed, skipped
from vflow.nodes.rehearsal.checking import guarded, measured
from vflow.nodes.rehearsal.subject import REPORT, Subject, in_words
from vflow.nodes.validation.drawing import request_of, seeing
from vflow.nodes.values import Sampling


def checks(subject: Subject) -> Iterator[Check]:
    """Draw a clip of the sampler's first prompt."""
    sampler = subject.inputs.sampler
    if sampler is None:
        yield skipped("drawing", "no sampler is linked")
    else:
        yield from guarded("drawing", subject.context, _drawing(subject, sampler))


def _drawing(subject: Subject, sampler: Sampling) -> Iterator[Check]:
    moments: list[float] = []
    context, steps = subject.context, max(subject.family.sampling.least_steps, 2)

    def on_step(_done: int, _total: int) -> None:
        moments.append(time.perf_counter())
        if context.stopping:
            context.interrupted()

    with ExitStack() as lent:
        live = lent.enter_context(context.load(subject.recipe))
        vae = lent.enter_context(context.load(sampler.vae, keep=False))
        encoder = lent.enter_context(seeing(context, sampler, keep=False))
        with measured(subject.device) as found:
            request = request_of(sampler, sampler.prompts[0][0], context, on_step, encoder)
            frames = subject.family.draw_clip(live, vae, replace(request, steps=steps)).frames
    if frames.std() == 0:
        yield failed("drawing", f"a clip in {steps} steps is of one colour", REPORT)
        return
    seconds = found.seconds + (moments[-1] - moments[-2]) * (sampler.steps - steps)
    every, total = subject.node.sample_every, subject.node.steps
    times = len(sampler.prompts) * (total // every) if every else 0
    size = f"{sampler.width}x{sampler.height}, {sampler.frames} frames"
    told = f"{in_words(seconds)} for a clip of {sampler.steps} steps at {size}, {times} of them on the way"
    yield passed("drawing", told, Cost(seconds * times, peaks=found.peaks))
