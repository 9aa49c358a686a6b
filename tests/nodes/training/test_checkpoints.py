"""States on disk: whole or not there."""

import pytest
import torch

from vflow.engine.values import Blob
from vflow.nodes.training import checkpoints
from vflow.nodes.values import Adapter


def adapter(step):
    return Adapter(blob=Blob(digest=str(step), size=1), family="ltx2", rank=2, step=step)


def keep(work, step, kind="kept"):
    tensors = {"weight/a": torch.full((2,), float(step), dtype=torch.bfloat16), "step/a": torch.tensor(float(step))}
    return checkpoints.write(work, step, tensors, adapter(step) if kind == "kept" else None, kind)


def steps(work):
    return [state.step for state in checkpoints.states(work)]


def test_a_state_is_read_as_it_was_written(tmp_path):
    keep(tmp_path, 3)
    (state,) = checkpoints.states(tmp_path)
    assert (state.step, state.kind, state.result) == (3, "kept", adapter(3))
    assert state.result.step == 3
    assert state.tensors()["weight/a"].tolist() == [3.0, 3.0]


def test_what_is_torn_is_not_a_state(tmp_path):
    for step in (1, 2, 3, 4):
        keep(tmp_path, step)
    (tmp_path / "step-00000002" / "state.json").write_text('{"step": 2')
    (tmp_path / "step-00000003" / "state.safetensors").write_bytes(b"short")
    (tmp_path / "step-00000004" / "state.safetensors").unlink()
    (tmp_path / "step-00000005").mkdir()
    assert steps(tmp_path) == [1]


def test_a_state_whose_bytes_changed_has_no_tensors(tmp_path):
    state = keep(tmp_path, 1)
    file = state.folder / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    assert checkpoints.states(tmp_path)[0].tensors() is None


def test_pruning_keeps_the_newest_and_what_belongs_to_a_longer_run(tmp_path):
    for step in (1, 2, 3, 4, 9):
        keep(tmp_path, step)
    checkpoints.prune(tmp_path, step=4, limit=2)
    assert steps(tmp_path) == [3, 4, 9]
    checkpoints.prune(tmp_path, step=9, limit=0)
    assert steps(tmp_path) == [3, 4, 9]


def test_where_a_run_was_stopped_is_forgotten_once_it_went_on(tmp_path):
    keep(tmp_path, 2)
    keep(tmp_path, 3, "stopped")
    checkpoints.prune(tmp_path, step=3, limit=1)
    assert steps(tmp_path) == [2, 3]
    keep(tmp_path, 4)
    checkpoints.prune(tmp_path, step=4, limit=2)
    assert steps(tmp_path) == [2, 4]


def test_a_full_disk_leaves_nothing_half_written_and_the_older_state(tmp_path, monkeypatch):
    keep(tmp_path, 1)

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        keep(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
