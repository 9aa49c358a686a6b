"""TensorBoard's event files, beside the run's own events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Board:
    """Writes scalars below a folder; nothing is imported or created before the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the metrics of one step."""
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        entries = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._open().add_event(Event(step=step, wall_time=_now(), summary=Summary(value=entries)))

    def close(self) -> None:
        """Write out what is buffered."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> Any:
        if self._writer is None:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter  # type: ignore[import-untyped]

            self._writer = EventFileWriter(str(self._folder), flush_secs=10)
        return self._writer


def _now() -> float:
    import time

    return time.time()
