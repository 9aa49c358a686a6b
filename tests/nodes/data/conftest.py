"""Clips to scan, and a context that remembers in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vflow.engine import keys
from vflow.engine.context import Context
from vflow.engine.problems import Failure
from vflow.nodes.values import VAE, Source


@dataclass
class Said:
    """What a node told the world."""

    logs: list = field(default_factory=list)
    left_out: dict = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    places: dict = field(default_factory=dict)
    labels: dict = field(default_factory=dict)


class MemoryContext(Context):
    """Light nodes need no more than this. `probed` counts what had to be probed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._facts: dict = {}
        self.said = Said()

    @property
    def probed(self) -> int:
        return sum(kind == "probe" for kind, _ in self._facts)

    @property
    def store_folder(self) -> Path:
        return self._folder

    @property
    def work(self) -> Path:
        raise AssertionError("a light node has no work folder")

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        self._folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            yield Path(name)

    def digest_of(self, path):
        try:
            return keys.digest_file(path)
        except OSError as error:
            raise Failure(f"cannot read {path}: {error.strerror}") from error

    def digests_of(self, paths):
        return {path: self.digest_of(path) for path in paths}

    def remember(self, kind, key, compute):
        if (kind, key) not in self._facts:
            self._facts[kind, key] = compute()
        return self._facts[kind, key]

    def recall(self, kind, key):
        return self._facts.get((kind, key))

    def recall_many(self, kind, keys):
        return {key: self._facts[kind, key] for key in keys if (kind, key) in self._facts}

    def record_fact(self, kind, key, data):
        keys.canonical(data)
        self._facts[kind, key] = data

    def locate(self, identity, path):
        self.said.places[identity] = path

    def path_of(self, identity):
        return self.said.places[identity]

    def label(self, identity, text):
        self.said.labels[identity] = text

    def label_of(self, identity):
        return self.said.labels[identity]

    def progress(self, done, total, unit="step", **figures):
        pass

    def log(self, message, level="info"):
        self.said.logs.append((level, message))

    def leave_out(self, what, reason):
        assert what not in self.said.left_out
        self.said.left_out[what] = reason

    def report(self, facts):
        keys.canonical(dict(facts))
        self.said.facts.update(facts)

    def _unused(self, *args, **kwargs):
        raise AssertionError("a light node does not do this")

    put = blob_path = load = metrics = publish = run_folder = interrupted = _unused
    stopping = False


@pytest.fixture
def context(tmp_path) -> MemoryContext:
    return MemoryContext(tmp_path / "store")


@pytest.fixture
def new_context(tmp_path) -> Callable[[], MemoryContext]:
    """Contexts of later runs: they share nothing but the folder of the store."""
    return lambda: MemoryContext(tmp_path / "store")


@pytest.fixture
def vae() -> VAE:
    return VAE(source=Source(family="ltx2", part="vae", content="0" * 64, model="tiny://ltx2", kind="tiny"))


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "clips"
    path.mkdir()
    return path


def _pictures(frames: int, width: int = 96, height: int = 64, seed: int = 0) -> np.ndarray:
    """Frames that all differ: coloured blocks that roll to the left, two pixels a frame."""
    blocks = np.random.default_rng(seed).integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    base = blocks.repeat(8, 0).repeat(8, 1)[:height, :width]
    return np.stack([np.roll(base, -2 * i, 1) for i in range(frames)])


@pytest.fixture(scope="session")
def pictures() -> Callable[..., np.ndarray]:
    """Draw (frames, height, width, 3) uint8."""
    return _pictures


@pytest.fixture
def make_clip(folder) -> Callable[..., Path]:
    """Write a clip with PyAV (and a caption beside it) into the folder."""

    def make(
        name: str = "a.mp4",
        frames: int = 25,
        size: tuple[int, int] = (96, 64),
        *,
        fps: float = 25,
        codec: str = "libx264",
        gop: int | None = None,
        options: dict | None = None,
        rotation: int | None = None,
        mirrored: bool = False,
        sar: Fraction | None = None,
        times: list[int] | None = None,
        caption: str | None = "a caption",
        seed: int = 0,
    ) -> Path:
        import av

        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as file:
            rate = Fraction(fps).limit_denominator(1001)
            stream = file.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            if times:
                stream.codec_context.time_base = Fraction(1, 1000)
            if gop:
                stream.codec_context.gop_size = gop
            if sar:
                stream.codec_context.sample_aspect_ratio = sar
            if rotation is not None:
                stream.set_display_rotation(-rotation, hflip=mirrored)
            for number, picture in enumerate(_pictures(frames, *size, seed=seed)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = times[number] if times else number
                frame.time_base = Fraction(1, 1000) if times else 1 / rate
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
        return path

    return make
