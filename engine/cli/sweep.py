"""`vflow sweep`: the runs of a grid of parameters over one store, one after the other, and a table of what came out."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine.cli import DONE, FAILED, INTERRUPTED, TERMINATED, WRONG
from vflow.engine.cli.arguments import (
    add_graph,
    add_help_params,
    add_network,
    add_reach,
    add_remote,
    add_store,
    add_trust,
)

if TYPE_CHECKING:
    from vflow.engine.session import Session
    from vflow.engine.sweeping import Figure, Ledger, Point, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = "--set rank=8,16,32 gives a parameter several values; a comma in quotes or brackets parts nothing."
    add_graph(parser)
    add_help_params(parser)
    parser.add_argument("--dry-run", action="store_true", help="list the runs and what each would compute")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the sweep's folder (else runs/<time>-<name>-sweep)")
    add_store(parser)
    add_remote(parser)
    add_reach(parser)
    add_network(parser)
    add_trust(parser)
    about = "what exported files carry: nothing, their recipe without what is yours (the default), or all but secrets"
    parser.add_argument("--embed", choices=("none", "recipe", "all"), help=about)
    parser.add_argument("--json", action="store_true", help="the results as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress, only problems and results")


def call(arguments: argparse.Namespace) -> int:
    """Run every point of the grid; results to standard output, all that the runs say to standard error."""
    from vflow.engine.sweeping import grid, split

    if arguments.help_params:
        from vflow.engine.cli.params import help_params

        arguments.set = [text for text in arguments.set or () if len(split(text)) == 1]
        return help_params(arguments)
    points = grid(arguments.set or ())
    name, values = _checked(arguments, points)
    if arguments.dry_run:
        return _rehearse(arguments, points)
    return _Sweep(arguments, points, name, values).run()


def _checked(arguments: argparse.Namespace, points: Sequence[Point]) -> tuple[str, list[dict[str, Any]]]:
    """Check the graph at every point, and return its name and the parameters of each point as plain data.

    Raises:
        GraphError: with every problem of every point.
    """
    from vflow.engine.problems import GraphError
    from vflow.engine.session import checked

    problems: list[Any] = []
    name, values = "", []
    for point in points:
        try:
            graph = checked(_request(arguments, point)).graph
        except GraphError as error:
            problems += error.problems
        else:
            name = graph.name
            values.append({param: graph.params[param] for param in point.values})
    if problems:
        raise GraphError(dict.fromkeys(problems))
    return name, values


def _request(arguments: argparse.Namespace, point: Point) -> Any:
    from vflow.engine.session import request_from

    return request_from(argparse.Namespace(**{**vars(arguments), "set": list(point.sets)}))


# --- running ---------------------------------------------------------------------------------------------------------


class _Sweep:
    """The runs of a grid, one after the other."""

    def __init__(
        self, arguments: argparse.Namespace, points: Sequence[Point], name: str, values: Sequence[dict[str, Any]]
    ) -> None:
        from vflow.engine.sweeping import Result

        self.arguments, self.points, self.name = arguments, points, name
        self.folder = _folder(arguments.out, name)
        self.results = [Result(point.label, given) for point, given in zip(points, values, strict=True)]

    def run(self) -> int:
        """Run all points, tell the results, and return the exit code."""
        from vflow.engine.cli.text import say, say_error
        from vflow.engine.problems import GraphError, Interrupted, VflowError
        from vflow.engine.sweeping import write_results

        ledger = _ledger(self.arguments, self.folder)
        codes: list[int] = []
        for number, (point, result) in enumerate(zip(self.points, self.results, strict=True), 1):
            say(f"run {number} of {len(self.points)}: {point.label}", "bold")
            folder = self.folder / point.label
            try:
                codes.append(_run(self.arguments, point, folder))
            except (KeyboardInterrupt, Interrupted) as error:
                codes.append(next((arg for arg in error.args if isinstance(arg, int)), INTERRUPTED))
                result.status = "interrupted"
            except GraphError as error:
                say_error(*error.problems)
                codes.append(WRONG)
                result.status, result.failure = "refused", "; ".join(str(problem) for problem in error.problems)
            except VflowError as error:
                say_error(str(error))
                codes.append(FAILED)
                result.status, result.failure = "failed", str(error)
            else:
                result.folder = str(folder)
                ledger.read(folder, result)
            write_results(self.folder, self.name, self.results)
            if codes[-1] in (INTERRUPTED, TERMINATED):
                say("interrupted; run the same command again to go on from here", "yellow")
                break
        self._tell()
        if codes[-1] in (INTERRUPTED, TERMINATED):
            return codes[-1]
        return WRONG if set(codes) == {WRONG} else FAILED if any(codes) else DONE

    def _tell(self) -> None:
        import json

        from vflow.engine.cli.text import out, say, table

        if self.arguments.json:
            points = [result.to_data() for result in self.results]
            out(json.dumps({"graph": self.name, "folder": str(self.folder), "points": points}, indent=1))
            return
        for line in table(_rows(self.points, self.results)):
            out(line)
        if best := _best(self.results):
            out(best)
        say(f"{self.folder}")


def _run(arguments: argparse.Namespace, point: Point, folder: Path) -> int:
    """Make one run. What it says to standard output goes to standard error: that of a sweep is its results."""
    import gc

    from vflow.engine.cli import run

    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    given = parser.parse_args([arguments.graph])
    shared = {name: value for name, value in vars(arguments).items() if name in given}
    mine = {"set": list(point.sets), "out": folder, "json": False}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return run.call(argparse.Namespace(**{**vars(given), **shared, **mine}))
    finally:
        gc.unfreeze()  # a run freezes its plan
        gc.collect()


def _folder(out: Path | None, name: str) -> Path:
    """Make the sweep's folder.

    Raises:
        GraphError: `out` holds something that no sweep wrote.
        Failure: it cannot be written.
    """
    from vflow.engine.problems import Failure, GraphError
    from vflow.engine.sweeping import RESULTS

    begin = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-sweep"
    folder, number = out or begin, 2
    try:
        while out is None and folder.exists():
            folder, number = begin.with_name(f"{begin.name}-{number}"), number + 1
        is_other = out is not None and out.exists() and not (out / RESULTS).is_file()
        if is_other and (not folder.is_dir() or any(folder.iterdir())):
            raise GraphError(f"--out {out} is not empty and is no sweep's folder", "name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"the sweep's folder cannot be made: {error}", "name another with --out DIR") from error
    return folder


def _ledger(arguments: argparse.Namespace, folder: Path) -> Ledger:
    from vflow.engine.carried import FINAL
    from vflow.engine.session import request_from
    from vflow.engine.store import Store
    from vflow.engine.sweeping import Ledger

    store = Store(request_from(arguments).cache)

    def recorded(key: str) -> Any:
        found = store.lookup([key], check_blobs=False).get(key)
        return found.facts.get(FINAL) if found is not None else None

    return Ledger({folder, Path("runs"), folder.parent}, recorded)


# --- telling ---------------------------------------------------------------------------------------------------------


def _rows(points: Sequence[Point], results: Sequence[Result]) -> Iterator[list[str]]:
    from vflow.engine.cli.text import duration
    from vflow.engine.sweeping import told_by

    metrics = told_by(results)
    names = list(points[0].values)
    yield [*names, "status", *(head for name in metrics for head in (name, "lowest")), "time", "saved"]
    for point, result in zip(points, results, strict=True):
        figures = [words for name in metrics for words in _figures(result.metrics.get(name))]
        times = [duration(one) if one is not None else "" for one in (result.seconds, result.saved_seconds)]
        yield [*point.values.values(), result.status, *figures, *times]


def _figures(figure: Figure | None) -> tuple[str, str]:
    if figure is None:
        return "", ""
    lowest = "" if figure.lowest is None else f"{figure.lowest:.6g} (step {figure.lowest_step})"
    return f"{figure.last:.6g}", lowest


def _best(results: Sequence[Result]) -> str:
    """Say which result ended with the lowest of the first metric; nothing where fewer than two have it."""
    from vflow.engine.sweeping import told_by

    for name in told_by(results):
        ended = [(result.metrics[name].last, result) for result in results if name in result.metrics]
        if len(ended) > 1:
            value, result = min(ended, key=lambda one: one[0])
            return f"lowest {name} at the end: {value:.6g}, {result.label}"
    return ""


# --- without running -------------------------------------------------------------------------------------------------


def _rehearse(arguments: argparse.Namespace, points: Sequence[Point]) -> int:
    import json

    from vflow.engine.cli.text import count, out, say_error
    from vflow.engine.problems import GraphError
    from vflow.engine.session import planned

    code, seen = DONE, set[str]()
    told: list[dict[str, Any]] = []
    for point in points:
        entry: dict[str, Any] = {"label": point.label, "params": dict(point.values)}
        try:
            session = planned(_request(arguments, point))
        except GraphError as error:
            say_error(*error.problems)
            code, entry = WRONG, {**entry, "refused": [str(problem) for problem in error.problems]}
        else:
            entry |= _work(session, seen)
        told.append(entry)
    if arguments.json:
        out(json.dumps(told, indent=1))
        return code
    out(f"a sweep of {count(len(points), 'run')}")
    for entry in told:
        out(f"  {entry['label']}")
        for line in _work_lines(entry):
            out(f"      {line}")
    return code


def _work(session: Session, seen: set[str]) -> dict[str, Any]:
    """Return how many results each node would compute, those that an earlier run of the sweep computes apart."""
    computes, shared, later, reused = {}, {}, [], []
    for step in session.plan.steps.values():
        if step.state == "reused" and step.wanted:
            reused.append(step.name)
        elif step.state == "undecided" and step.wanted:
            later.append(step.name)
        elif step.state == "run" and step.wanted:
            keys = set(step.item_keys.values() if step.node.per_item else [step.key]) - step.records.keys()
            if new := len(keys - seen):
                computes[step.name] = new
            if len(keys) - new:
                shared[step.name] = len(keys) - new
            seen |= keys
    return {"computes": computes, "shared": shared, "later": later, "reused": reused}


def _work_lines(entry: dict[str, Any]) -> Iterator[str]:
    def named(counts: dict[str, int]) -> str:
        return ", ".join(name if number == 1 else f"{name} ({number:,})" for name, number in counts.items())

    if "refused" in entry:
        yield "is refused: " + "; ".join(entry["refused"])
        return
    if entry["computes"]:
        yield f"computes {named(entry['computes'])}"
    if entry["shared"]:
        yield f"from the runs before: {named(entry['shared'])}"
    if entry["later"]:
        yield f"decided after these: {', '.join(entry['later'])}"
    if not entry["computes"] and not entry["shared"] and not entry["later"]:
        yield "computes nothing: all is kept"
