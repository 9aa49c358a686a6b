"""On what a result was computed: versions of packages and kind of device. Part of records, never of keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from vflow.engine.values import Items

if TYPE_CHECKING:
    from vflow.engine.steps import Step
    from vflow.engine.store import Record

#: Under this name a record keeps the kind of device (`cpu`, `cuda`); absent where nothing was loaded.
DEVICE = "computed_on"
_RECORDED = ("vflow", "torch", "diffusers", "transformers", "peft")
_COMPARED = ("torch", "diffusers")


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of the packages that results may depend on, read without importing them."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in _RECORDED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def environment_of(step: Step) -> dict[str, Any]:
    """Return what a record of this step keeps: versions, kind of device, and settings equal only up to rounding."""
    device = device_of(step)
    return {**versions(), **({DEVICE: device} if device else {}), **step.node.placed()}


def device_of(step: Step) -> str:
    """Return the kind of device that the recipes at a step's ports compute on; "" where there are none."""
    from vflow.engine.lending import recipes_in

    kinds = {
        kind
        for value in step.inputs.values()
        if not isinstance(value, Items)
        for recipe in recipes_in(value)
        if (kind := recipe.computes_on)
    }
    return ", ".join(sorted(kinds))


def differences(then: Mapping[str, Any], device: str) -> list[str]:
    """Say what differs between a record's environment and now: major versions, kind of device."""
    now = versions()
    found = [
        f"{package} {then[package]}, now {now[package]}"
        for package in _COMPARED
        if package in then and package in now and _major(str(then[package])) != _major(now[package])
    ]
    before = then.get(DEVICE, "")
    if before and device and before != device:
        found.append(f"device {before}, now {device}")
    return found


def same_environment(step: Step, records: Mapping[str, Record]) -> dict[str, Record]:
    """Return those of a step's records that were computed in an environment like this one."""
    device = device_of(step)
    return {key: record for key, record in records.items() if not differences(record.environment, device)}


def foreign(step: Step, records: Iterable[Record]) -> dict[str, int]:
    """Return what differs, in words, for how many of a step's records."""
    device = device_of(step)
    found: dict[str, int] = {}
    for record in records:
        if words := "; ".join(differences(record.environment, device)):
            found[words] = found.get(words, 0) + 1
    return found


def _major(version: str) -> str:
    """Return `2` of 2.6.1, and `0.42` of 0.42.1: before version 1 the second number counts the breaking changes."""
    first, _, rest = version.partition(".")
    return f"0.{rest.partition('.')[0]}" if first == "0" else first
