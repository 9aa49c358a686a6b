"""The learning rate as a function of the step: nothing to carry, nothing to save."""

from __future__ import annotations

import math

from vflow.nodes.training.settings import ScheduleSettings


def factor(schedule: ScheduleSettings, step: int, steps: int) -> float:
    """Return what the learning rate is multiplied with in step `step` of `steps`, counted from 0.

    It rises linearly from 0, which it would have before the first step, to 1, which it reaches in step number
    `warmup_steps` counted from 1. From there `linear` and `cosine` fall, to `end` after the last step.
    """
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    if schedule.name == "constant":
        return 1.0
    done = min(1.0, (step - schedule.warmup_steps) / max(1, steps - schedule.warmup_steps))
    left = 1 - done if schedule.name == "linear" else (1 + math.cos(math.pi * done)) / 2
    return schedule.end + (1 - schedule.end) * left
