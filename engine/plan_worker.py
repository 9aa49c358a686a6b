"""The process that plans for an editor: requests come in as JSON lines, reports go out as JSON lines.

    {"id": 7, "request": {...}}  →  {"id": 7, "said": "clips: 200 of 5,000"}, ..., {"id": 7, "report": {...}}

It is a process of its own since planning looks into the user's files: a scan of a large folder can be ended at any
time, and a decoder that crashes over a broken clip takes no editor with its unsaved work along. It ends when its
standard input does.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from vflow.engine.plan_report import PlanReport, report
from vflow.engine.problems import Problem
from vflow.engine.session import Request

#: How the process is started, behind the interpreter; `-P`: nothing is imported from the folder that the user is in.
ARGUMENTS = ("-P", "-m", "vflow.engine.plan_worker")
_EVERY = 0.2  # seconds between two words on how far it is
_NICE = 5


def to_json(request: Request) -> dict[str, Any]:
    """Return a request as plain data."""
    data = dataclasses.asdict(request)
    return {name: str(value) if isinstance(value, Path) else value for name, value in data.items()}


def from_json(data: Mapping[str, Any]) -> Request:
    """Make a request from what `to_json` gave."""
    found: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    for name in ("cache", "lock"):
        found[name] = Path(found[name]) if found.get(name) else None
    return Request(**found)


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr  # what nodes and their libraries print is no answer
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(_NICE)  # the keys of the editor come first
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(asked,), daemon=True).start()
    while True:
        _answer(json.loads(asked.get()), answers)


def _read(asked: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        asked.put(line)
    os._exit(0)  # whoever asked is gone, and what is being planned is of no use to anyone


def _answer(asked: Mapping[str, Any], answers: IO[str]) -> None:
    told = 0.0

    def tell(said: str) -> None:
        nonlocal told
        if time.monotonic() - told >= _EVERY:
            told = time.monotonic()
            send(said=said)

    def send(**answer: Any) -> None:
        answers.write(json.dumps({"id": asked["id"], **answer}) + "\n")
        answers.flush()

    request = from_json(asked["request"])
    send(report=reported(request, tell).to_json())


def reported(request: Request, tell: Any) -> PlanReport:
    """Plan; an error in somebody's node is a problem as any other, and the next request finds this process alive."""
    from vflow.engine.registry import complaints

    try:
        found = report(request, tell)
    except Exception as error:
        problem = Problem(f"planning broke off: {type(error).__name__}: {error}", "`vflow plan` shows where")
        found = PlanReport(problems=(problem,), live=request.live)
    _complaints.extend(complaints())  # each is told once, and belongs to every plan
    return dataclasses.replace(found, problems=(*found.problems, *_complaints))


_complaints: list[Problem] = []

if __name__ == "__main__":
    main()
