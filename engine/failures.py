"""What a node raised, in words: foreseen failures as they are, accidents with a remedy where one is known."""

from __future__ import annotations

import errno
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from vflow.engine.problems import Failure, VflowError
from vflow.engine.secrets import redactor

if TYPE_CHECKING:
    from vflow.engine.folder import RunFolder
    from vflow.engine.steps import Step

FULL = (errno.ENOSPC, errno.EDQUOT)


def in_words(error: BaseException, step: Step, folder: RunFolder | None) -> BaseException:
    """Return what to raise instead of an exception; an accident's traceback goes to the run's folder.

    Entry points of the group `vflow.remedies` are functions of (exception, step) that return (message, remedy) or None.
    """
    if isinstance(error, (VflowError, KeyboardInterrupt, SystemExit)):
        return error
    where = _keep_traceback(error, folder)
    if isinstance(error, OSError) and error.errno in FULL:
        return Failure("the disk is full", "free space, or put the store elsewhere with --cache DIR", final=True)
    from vflow.engine.registry import answers

    for found in answers("vflow.remedies", error, step):
        if found:
            return Failure(*found)
    text = str(error).strip().split("\n")[0]
    return Failure(f"{type(error).__name__}: {text}" if text else type(error).__name__, where)


def _keep_traceback(error: BaseException, folder: RunFolder | None) -> str:
    if folder is None:
        return ""
    path = folder.path / "traceback.txt"
    with suppress(OSError):
        path.write_text(redactor()("".join(traceback.format_exception(error))), encoding="utf-8")
    return f"the traceback is in {path}"
