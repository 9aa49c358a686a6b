"""What becomes of a mistake of the UI's own: a file that tells it, and two lines for the user."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path


def told(error: BaseException) -> str:
    """Keep the traceback of an unexpected error, without the values of variables; return what to say of it."""
    error = getattr(error, "error", error)  # a worker's failure holds what happened
    what = f"the terminal UI ended over a mistake of its own: {type(error).__name__}: {_redacted(str(error))[:300]}"
    kept = "its traceback could not be kept"
    try:
        kept = f"its traceback is in {_write(error)}"
    except Exception as failed:  # whatever goes wrong here must not hide what went wrong before
        kept += f" ({type(failed).__name__})"
    return f"{what}\n{kept}; unsaved work is offered when the graph is opened again"


def _write(error: BaseException) -> Path:
    from vflow.engine.store import default_folder

    folder = default_folder() / "drafts"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    text = _redacted("".join(traceback.format_exception(error)))
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _redacted(text: str) -> str:
    from vflow.engine.secrets import redactor

    return redactor()(text)
