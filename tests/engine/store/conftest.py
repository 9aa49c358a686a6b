"""A store in a temporary folder, and records to put into it."""

import hashlib
import os
import subprocess
import sys

import pytest

from vflow.engine.store import Record, Store


def key_of(name):
    return hashlib.sha256(str(name).encode()).hexdigest()


def make_record(name="a", blobs=(), **fields):
    given = {
        "key": key_of(name),
        "node_type": "Echo",
        "version": 1,
        "output": {"type": "Text", "value": {"text": f"result of {name}"}},
        "seconds": 1.5,
        "created": 1_700_000_000.25,
        "blobs": tuple(blobs),
        "settings": {"rank": 16, "lr": 1e-4},
        "inputs": {"clips": key_of("clips")},
        "environment": {"vflow": "0.1.0"},
        "facts": {"trained": 3},
        "graph": "graph",
        "node": "echo",
    }
    return Record(**(given | fields))


@pytest.fixture
def store(tmp_path):
    with_store = Store(tmp_path / "store")
    yield with_store
    with_store.close()


@pytest.fixture
def python():
    """Start a Python process on some code; all that are still there at the end are killed."""
    started = []

    def start(code, *args, **options):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", code, *map(str, args)]
        process = subprocess.Popen(
            command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def record():
    return make_record


@pytest.fixture
def key():
    return key_of
