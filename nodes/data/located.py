"""Windows and the clips that they are cut from, where those lie in this run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import Failure, VflowError

if TYPE_CHECKING:
    import numpy as np

    from vflow.engine.context import Context
    from vflow.nodes.values import Window

#: a window, and its clip's path and name
Job = tuple["Window", Path, str]

REMEDY = "repair it or take it out of the folder, then run again: what is encoded stays encoded"


def located(windows: Iterable[Window], context: Context) -> Iterator[Job]:
    """Yield each window with its clip's path and name, as long as the clip is the one that was looked at.

    Raises:
        Failure: the clip is gone, or its content has changed since.
    """
    for window in windows:
        name = context.label_of(window.clip)
        try:
            path = context.path_of(window.clip)
            same = context.digest_of(path) == window.clip
        except KeyError:
            raise Failure(f"{name} was not found in this run", "run the whole graph, not this node alone") from None
        if not same:
            raise Failure(f"{name} has changed since the folder was read", "run again: it is then read anew")
        yield window, path, name


def frames_of(window: Window, path: Path, name: str) -> np.ndarray:
    """Decode a window of the clip at `path` to (F, H, W, 3) uint8.

    Raises:
        Failure: the clip cannot be decoded; `name` is what people call it.
    """
    from vflow.nodes.data.decode import decode

    try:
        return decode(path, window)
    except MemoryError:
        raise
    except VflowError as error:
        raise Failure(f"{name} {error}", REMEDY) from error
    except Exception as error:
        raise Failure(f"{name} cannot be decoded: {error}", REMEDY) from error
