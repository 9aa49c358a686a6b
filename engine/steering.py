"""What can be done with a run from outside its process: stop it, and go on with it where it ended."""

from __future__ import annotations

import os
import signal
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from vflow.engine.folder import GRAPH
from vflow.engine.history import PastRun, last_start, read_run
from vflow.engine.problems import Failure, GraphError
from vflow.engine.store import default_folder, owners

#: Options of `vflow run` that say what is run; they stand in the graph that the run's folder keeps.
_CHOICES = ("profile", "set")
#: Those that hold for going on as well. `--force` and `--refresh` are for one start: again, they would undo its work.
_LASTING = ("until", "remote", "lock", "allow_send", "embed")
_SWITCHES = ("offline", "locked", "fresh_env")
_SECRET = "***"


def command_of(arguments: Namespace) -> tuple[str, ...]:
    """Return the words after `vflow` that go on with a run which these arguments of `vflow run` started.

    They name the store, which may have come from the environment, and not the run's folder.
    """
    words = ["run", str(arguments.graph)]
    for name in (*_CHOICES, *_LASTING):
        value = getattr(arguments, name, None)
        for one in value if isinstance(value, list) else [value] if value is not None else []:
            words += [_option(name), str(one)]
    words += [_option(name) for name in _SWITCHES if getattr(arguments, name, False)]
    return (*words, "--cache", str(Path(arguments.cache or default_folder()).expanduser().absolute()))


def check_stoppable(run: PastRun) -> None:
    """See whether a run can be asked to stop from here.

    Raises:
        GraphError: it does not go on, or not on this machine.
    """
    if run.status == "unfinished":
        raise GraphError(f"{run.path} was not started on this machine", "stop it where it runs")
    if run.status != "running":
        raise GraphError(f"{run.path} does not go on: {run.status}", "`vflow runs` shows which do")


def ask_to_stop(run: PastRun, *, now: bool = False) -> None:
    """Ask a run to stop, at the end of its step or `now`; it keeps its state, and this does not wait for it.

    Raises:
        GraphError: it cannot be stopped from here.
        Failure: it is the run of another user.
    """
    check_stoppable(run)
    owner = owners.parse(run.process)
    try:
        if owner is not None and not owner.is_dead:
            os.kill(owner.pid, signal.SIGTERM)
            if now:  # of two equal signals that wait, a process sees one
                os.kill(owner.pid, signal.SIGINT)
    except ProcessLookupError:
        pass  # it ended just now
    except PermissionError as error:
        raise Failure(f"{run.path} is the run of another user", "ask them") from error


@dataclass(frozen=True)
class GoingOn:
    """How a run is gone on with: the words after `vflow`, which name its folder, and where they are called.

    `as_it_ran`: with the graph that the run's folder keeps, not with the file that it was started from. `because` says
    why the file is not taken, or that it is another now; empty where both are the same.
    """

    words: tuple[str, ...]
    place: Path
    as_it_ran: bool = False
    because: str = ""


def going_on(folder: Path, *, as_it_ran: bool | None = None) -> GoingOn:
    """Tell how to go on with a run: the same command, the same folder, and the same store.

    `as_it_ran` None: with the graph's file, or with what the folder keeps of it where the file is gone.

    Raises:
        GraphError: it goes on already, is done, is another machine's, or nothing is left to go on with.
    """
    run, start = read_run(folder), last_start(folder)
    _check_ended(run)
    command = [_expanded(str(word)) for word in start.get("command", ())]
    place = Path(_expanded(str(start.get("cwd", "")))) if start.get("cwd") else _guessed_place(folder)
    if not place.is_dir():
        raise GraphError(f"the folder that {folder} was started in is gone: {place}", "start the graph again")
    if len(command) < 2 or any(_SECRET in word for word in command):
        command, usable, because = ["run", ""], False, "its command line was not kept"
    else:
        usable, because = _compared(folder, command, place)
    if as_it_ran is None:
        as_it_ran = not usable
    if as_it_ran:
        kept = folder.absolute() / GRAPH
        if not kept.is_file():
            raise GraphError(f"{folder} holds no {GRAPH}" + (f", and {because}" if because else ""), "start it anew")
        command = ["run", str(kept), *_without_choices(command[2:])]
    elif not usable:
        raise GraphError(f"the file of {folder} cannot be run: {because}", "go on with the graph as it ran")
    return GoingOn((*command, "--out", str(folder.absolute())), place, as_it_ran, because)


def _check_ended(run: PastRun) -> None:
    if run.status == "running":
        raise GraphError(f"{run.path} goes on already")
    if run.status == "unfinished" and run.process:
        raise GraphError(f"{run.path} was not started on this machine", "go on with it where it ran")
    if run.status == "done":
        raise GraphError(f"{run.path} is done", "start its graph again for another run")


def _compared(folder: Path, command: Sequence[str], place: Path) -> tuple[bool, str]:
    """Return whether the file that a run was started from can be run, and what is other than it was, in words."""
    from vflow.engine.load import load
    from vflow.engine.problems import errors
    from vflow.engine.secrets import redactor

    path = place / command[1] if (place / command[1]).is_file() else Path(command[1])
    chosen = {name: tuple(_values(command, _option(name))) for name in _CHOICES}
    try:
        loaded = load(str(path), chosen["profile"], chosen["set"])
    except GraphError as error:
        return False, str(error.problems[0])
    if found := errors(loaded.problems):
        return False, str(found[0])
    try:
        kept = (folder / GRAPH).read_text(encoding="utf-8")
    except OSError:
        return True, ""  # it did not come so far
    same = redactor(home=False)(loaded.graph.to_text()) == kept
    return True, "" if same else f"{command[1]} was changed since"


def _guessed_place(folder: Path) -> Path:
    above = folder.absolute().parent
    return above.parent if above.name == "runs" else Path.cwd()


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _values(words: Sequence[str], option: str) -> list[str]:
    return [word for before, word in pairwise(words) if before == option]


def _without_choices(words: Sequence[str]) -> list[str]:
    options = {_option(name) for name in _CHOICES}
    kept, skip = [], False
    for word in words:
        if skip or word in options:
            skip = not skip
            continue
        kept.append(word)
    return kept


def _expanded(word: str) -> str:
    """Undo what was done to a path below the home folder before it was written into the run's folder."""
    return str(Path(word).expanduser()) if word == "~" or word.startswith("~/") else word
