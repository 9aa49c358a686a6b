"""Training states on disk: whole or not there. Listing them is light; tensors are read when asked for.

A state is a folder `step-00000100/` in the work folder with `state.safetensors` (weights and moments) and `state.json`
(step, kind, result, digest). It is written under another name, synced and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from vflow.engine import keys
from vflow.engine.values import value_from_json
from vflow.nodes.values import Learned

if TYPE_CHECKING:
    import torch

_TENSORS, _FACTS = "state.safetensors", "state.json"

#: `kept`: by interval or at the end, with its result; `stopped`: where a run was interrupted, until a later one
Kind = Literal["kept", "stopped"]


@dataclass(frozen=True)
class State:
    """One complete training state. `notes` are the reporter's: what it needs to go on as if nothing had stopped it."""

    folder: Path
    step: int
    kind: Kind
    result: Learned | None
    digest: str
    notes: Mapping[str, Any] = field(default_factory=dict)

    def tensors(self) -> dict[str, torch.Tensor] | None:
        """Return its tensors, memory-mapped, or None when the file is not what was written."""
        from vflow.nodes.encoding.tensors import read

        file = self.folder / _TENSORS
        try:
            return read(file) if keys.digest_file(file) == self.digest else None
        except FileNotFoundError:
            return None


def states(work: Path) -> list[State]:
    """Return the states in a work folder, oldest first; what is torn is not one of them."""
    found = (_state(folder) for folder in sorted(work.glob("step-*")))
    return [state for state in found if state is not None]


def write(
    work: Path,
    step: int,
    tensors: Mapping[str, torch.Tensor],
    result: Learned | None,
    kind: Kind,
    notes: Mapping[str, Any] | None = None,
) -> State:
    """Write a state, one tensor after the other; one of the same step is replaced.

    Raises:
        OSError: the disk is full or not writable. Nothing is left half-written.
    """
    from vflow.nodes.models.adapter_file import write_safetensors

    folder, partial = work / f"step-{step:08d}", work / f".{os.getpid()}-{step}.part"
    facts: dict[str, Any] = {"step": step, "kind": kind, "notes": dict(notes or {})}
    facts["adapter"] = result.to_json() if result else None
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        file = partial / _TENSORS
        write_safetensors(file, tensors, {})
        _sync(file)
        facts |= {"size": file.stat().st_size, "digest": keys.digest_file(file)}
        (partial / _FACTS).write_text(json.dumps(facts))
        _sync(partial / _FACTS)
        _sync(partial)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
        _sync(work)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return State(folder, step, kind, result, facts["digest"], facts["notes"])


def prune(work: Path, step: int, limit: int) -> list[State]:
    """Remove old states up to `step`, but the newest `limit` kept ones (0: all of them), and older stopped ones.

    States of later steps belong to a longer run and stay. Returns those that are gone.
    """
    past = [state for state in states(work) if state.step <= step]
    kept = [state for state in past if state.kind == "kept"]
    stay = {state.step for state in (kept[-limit:] if limit else kept)} | {step}
    gone = [state for state in past if state.step not in stay]
    for state in gone:
        shutil.rmtree(state.folder, ignore_errors=True)
    for partial in work.glob(".*.part"):
        shutil.rmtree(partial, ignore_errors=True)
    return gone


def _state(folder: Path) -> State | None:
    try:
        facts = json.loads((folder / _FACTS).read_bytes())
        if (folder / _TENSORS).stat().st_size != facts["size"]:
            return None
        result = cast("Learned | None", value_from_json(facts["adapter"]) if facts["adapter"] else None)
        return State(folder, facts["step"], facts["kind"], result, facts["digest"], facts.get("notes", {}))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
