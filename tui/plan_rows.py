"""What a plan says as rows of text, fitted to a width: what the plan's list shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import Any

from vflow.engine.cli.text import duration, size
from vflow.engine.plan_report import NodePlan, PlanReport, fact_lines, foreign_lines, node_of
from vflow.engine.problems import Problem
from vflow.tui.glyphs import STATE_COLOURS, Glyphs, State
from vflow.tui.planning import STATES, counted

_GIB = 2**30
_TYPES_FROM = 64  # cells from which a node's type has room beside its name
_NAMES = 20  # cells of the column of names
_LARGE = 10_000  # numbers from which on digits are hard to count
_MOST = 8  # files that were left out which are named
#: severity -> (mark, its style), as in the list of problems: never colour alone
_MARKS = {"error": ("E", "bold $text-error"), "warning": ("W", "bold $text-warning"), "hint": ("i", "$text-accent")}
#: the states whose nodes are listed one by one, in this order, with their titles
_LISTED = {
    "will run": "to run",
    "not asked": "not asked yet",
    "decided later": "decided later",
    "reused": "kept",
    "not needed": "not needed",
    "disabled": "disabled",
}
_HINTS = {"not asked": "what only the network knows; P asks it"}

Piece = tuple[str, str]  # text and style


@dataclass(frozen=True)
class Row:
    """A row of one or more lines, each of pieces of (text, style). `node` or `problem` is where it leads."""

    lines: tuple[tuple[Piece, ...], ...]
    node: str = ""
    problem: Problem | None = None

    @property
    def leads(self) -> tuple[str, Problem | None] | None:
        """Where the row leads; None where it leads nowhere."""
        return (self.node, self.problem) if self.node or self.problem is not None else None

    def dimmed(self) -> Row:
        """Return the row as one of an older plan."""
        lines = tuple(tuple((text, f"{style} dim".strip()) for text, style in line) for line in self.lines)
        return replace(self, lines=lines)

    @property
    def text(self) -> str:
        """The row as plain text."""
        return "\n".join("".join(text for text, _ in line) for line in self.lines)


def rows(report: PlanReport, width: int, glyphs: Glyphs) -> list[Row]:
    """Return all that there is to say of a plan, the most important first, in lines of at most `width` cells."""
    return list(_Rows(report, max(width, 12), glyphs).all())


def summary_of(report: PlanReport) -> str:
    """Return the plan in a line, and whether it can run."""
    wrong = sum(problem.severity == "error" for problem in report.problems)
    stops = f"{wrong} error{'' if wrong == 1 else 's'}: nothing runs" if wrong else ""
    return "; ".join(filter(None, [report.summary() if report.nodes else "", stops])) or "nothing to plan"


class _Rows:
    def __init__(self, report: PlanReport, width: int, glyphs: Glyphs) -> None:
        self.report, self.width, self.glyphs = report, width, glyphs

    def all(self) -> Iterator[Row]:
        """Yield the sections one after the other."""
        yield from self._problems("error", "in the way")
        yield from self._warnings()
        for state, title in _LISTED.items():
            yield from self._state(state, title)
        yield from self._light()
        if self.report.nodes:
            yield from self._downloads()
            yield from self._memory()
            yield from self._disk()
            yield from self._time()
            yield from self._effects()
            yield from self._facts()

    # --- what is wrong ---------------------------------------------------------------------------------------------

    def _problems(self, severity: str, title: str) -> Iterator[Row]:
        found = [problem for problem in self.report.problems if problem.severity == severity]
        if found:
            yield self._heading(title, str(len(found)), _MARKS[severity][1])
        yield from map(self._problem, found)

    def _problem(self, problem: Problem) -> Row:
        mark, style = _MARKS[problem.severity]
        where = problem.where.removeprefix("nodes.")
        text = f"{problem.message}; {problem.remedy}" if problem.remedy else problem.message
        lines = self._wrapped(f"{where}: {text}" if where else text, 2, "")
        first = ((f"{mark} ", style), *((piece[0].lstrip(), piece[1]) for piece in lines[0]))
        return Row((first, *lines[1:]), node_of(problem), problem if where or problem.line else None)

    def _warnings(self) -> Iterator[Row]:
        found = [problem for problem in self.report.problems if problem.severity != "error"]
        told = [tuple(line.split(": ", 1)) for line in foreign_lines(self.report)]
        told += [
            (node.name, message)
            for node in self.report.nodes.values()
            for level, message in node.said
            if level in ("warning", "error")
        ]
        found += [Problem(message, where=f"nodes.{node}", severity="warning") for node, message in told]
        if found:
            yield self._heading("warnings", str(len(found)), _MARKS["warning"][1])
        yield from map(self._problem, found)

    # --- nodes -----------------------------------------------------------------------------------------------------

    def _state(self, state: str, title: str) -> Iterator[Row]:
        nodes = self.report.in_state(state)
        if not nodes:
            return
        drawn: State = STATES[state]
        more = size(sum(node.bytes for node in nodes)) if state == "reused" else ""
        right = f"{len(nodes)} {self.glyphs.middle} {more}" if more and more != "0 B" else str(len(nodes))
        yield self._heading(f"{self.glyphs.state(drawn)} {title}", right, f"bold {STATE_COLOURS[drawn]}")
        if hint := _HINTS.get(state):
            yield Row(tuple(self._wrapped(hint, 2, "$text-muted")))
        column = min(max(len(node.name) for node in nodes), _NAMES) + 4
        # behind the names where that is the rule and not the exception: a ragged list is hard to read
        beside = 2 * sum(self._is_beside(node, column) for node in nodes) >= len(nodes)
        before: list[str] = []
        for node in nodes:
            said = self._said(node)
            yield self._node(node, [] if state == "not asked" and said == before else said, column if beside else 0)
            before = said

    def _is_beside(self, node: NodePlan, column: int) -> bool:
        said, right = self._said(node), self._right(node)
        room = self.width - column - len(right) - bool(right)
        return len(node.name) + 4 <= column and len("".join(said[:1])) <= room

    def _node(self, node: NodePlan, said: list[str], column: int) -> Row:
        """Return a node's row; the first thing said of it stands at `column` behind its name, if it fits there."""
        right = self._right(node)
        if said and column and self._is_beside(node, column):
            lines = [self._line(f"  {node.name.ljust(column - 4)}", said[0], right)]
        else:
            name = node.name.ljust(column - 4) if column else node.name
            lines = [self._line(f"  {name}", node.type if self.width >= _TYPES_FROM else "", right)]
            lines += self._wrapped(said[0], 4, "$text-muted") if said else []
        for below in said[1:]:
            lines += self._wrapped(below, 6, "$text-muted")
        return Row(tuple(lines), node.name)

    def _right(self, node: NodePlan) -> str:
        if node.state == "not asked":
            return ""
        kept = size(node.bytes) if node.state == "reused" and node.bytes else ""
        return ", ".join(filter(None, [counted(node), kept]))

    def _said(self, node: NodePlan) -> list[str]:
        if node.state == "reused":
            return [node.head] if "remote" in node.head else []
        head = node.head.removeprefix("not asked yet: ").removeprefix("decided ")
        return list(filter(None, [head.removesuffix(f" ({node.missing} of {node.total})"), *node.below]))

    def _light(self) -> Iterator[Row]:
        if nodes := self.report.in_state("light"):
            yield self._heading(f"{self.glyphs.state('light')} light, at every plan", str(len(nodes)), "bold")
            yield Row(tuple(self._wrapped(", ".join(node.name for node in nodes), 2, "$text-muted")))

    # --- what it takes ---------------------------------------------------------------------------------------------

    def _downloads(self) -> Iterator[Row]:
        fetched = self.report.fetches
        if fetched:
            total = sum(effect.size for effect in fetched)
            yield self._heading("to fetch", size(total) if total else "", "bold")
            yield from self._table(
                (effect.what, size(effect.size) if effect.size else "built here") for effect in fetched
            )

    def _memory(self) -> Iterator[Row]:
        peaks = [
            (phase.node, device, bytes_) for phase in self.report.phases for device, bytes_ in phase.cost.peaks.items()
        ]
        for title, lines in self.report.sections:
            yield self._heading(title, "", "bold")
            for line in lines:
                node = line.partition(":")[0]
                yield Row(tuple(self._wrapped(line, 2, "")), node if node in self.report.nodes else "")
        if peaks:
            most = max(bytes_ for _, _, bytes_ in peaks)
            yield self._heading("memory, as rehearsed", f"{most / _GIB:.1f} GiB", "bold")
            yield from self._table((f"{node}, {device}", f"{bytes_ / _GIB:.1f} GiB") for node, device, bytes_ in peaks)

    def _disk(self) -> Iterator[Row]:
        written = sum(phase.cost.disk for phase in self.report.phases)
        fetched = sum(effect.size for effect in self.report.fetches)
        kept = sum(node.bytes for node in self.report.nodes.values())
        found = [("to fetch", fetched), ("to compute, as rehearsed", written), ("kept", kept)]
        yield self._heading("disk", f"{size(self.report.free)} free", "bold")
        if fetched + written > self.report.free:
            yield self._problem(
                Problem("that is more than is free", "free some, or move the store", severity="warning")
            )
        yield from self._table((what, size(bytes_)) for what, bytes_ in found if bytes_)

    def _time(self) -> Iterator[Row]:
        phases, saved = self.report.phases, self.report.saved_seconds
        total = sum(phase.cost.seconds for phase in phases)
        yield self._heading("time", f"about {duration(total)}" if phases else "", "bold")
        yield from self._table((f"{phase.node}, {phase.what}", duration(phase.cost.seconds)) for phase in phases)
        for node, said in self.report.rehearsed.items():
            yield Row(tuple(self._wrapped(f"{node}: {said}", 2, "$text-muted")), node)
        if not phases and (self.report.in_state("will run") or self.report.in_state("decided later")):
            yield Row(
                tuple(self._wrapped("not known yet: `vflow rehearse` measures it on this machine", 2, "$text-muted"))
            )
        if saved:
            yield from self._table([("saved by what is kept", duration(saved))])

    def _effects(self) -> Iterator[Row]:
        yield self._heading("touches", "", "bold")
        shown = [effect for effect in self.report.effects if effect.kind in ("reads", "writes", "sends")]
        for effect in shown:
            barred = "" if effect.allowed else " (not allowed: --allow-send)"
            where = f"{effect.node}: " if effect.node else ""
            what = effect.what.replace(f"{Path.home()}/", "~/")
            yield Row(tuple(self._wrapped(f"{effect.kind} {where}{what}{barred}", 2, "")), effect.node)
        if not any(effect.kind == "sends" for effect in shown):
            yield Row(tuple(self._wrapped("sends nothing", 2, "")))

    def _facts(self) -> Iterator[Row]:
        nodes = [node for node in self.report.nodes.values() if node.facts or node.left_out]
        if nodes:
            yield self._heading("in numbers", "", "bold")
        for node in nodes:
            lines = [self._line(f"  {node.name}", "", "")]
            for line in fact_lines({name: _readable(name, value) for name, value in node.facts.items()}):
                lines += self._wrapped(line, 4 + len(line) - len(line.lstrip()), "$text-muted")
            if node.left_out:
                lines += self._wrapped(f"left out: {len(node.left_out)}", 4, "$text-warning")
                for what, reason in node.left_out[:_MOST]:
                    lines += self._wrapped(f"{what}: {reason}", 6, "$text-muted")
                if len(node.left_out) > _MOST:
                    lines += self._wrapped(f"and {len(node.left_out) - _MOST:,} more", 6, "$text-muted")
            yield Row(tuple(lines), node.name)

    # --- lines -----------------------------------------------------------------------------------------------------

    def _heading(self, title: str, right: str, style: str) -> Row:
        title = self.glyphs.cut(title, self.width)
        right = right if len(title) + 1 + len(right) <= self.width else ""
        gap = self.width - len(title) - len(right) if right else 0
        return Row((((title, style), (" " * gap, ""), (right, "$text-muted")),))

    def _table(self, lines: Iterable[tuple[str, str]]) -> Iterator[Row]:
        for what, right in lines:
            node = what.partition(",")[0]
            yield Row((self._line(f"  {what}", "", right),), node if node in self.report.nodes else "")

    def _line(self, left: str, middle: str, right: str) -> tuple[Piece, ...]:
        """Return a line: what it is, dim what it is of, and at its right end a number."""
        right = self.glyphs.cut(right, self.width // 2)
        room = self.width - len(right) - bool(right)
        left = self.glyphs.cut(self.glyphs.text(left), room)
        middle = self.glyphs.cut(f"  {self.glyphs.text(middle)}", room - len(left)) if middle else ""
        rest = " " * (self.width - len(left) - len(middle) - len(right)) if right else ""
        return ((left, ""), (middle, "$text-muted"), (rest, ""), (right, "$text-muted"))

    def _wrapped(self, text: str, indent: int, style: str) -> list[tuple[Piece, ...]]:
        text = self.glyphs.text(text)
        indent = min(indent, self.width // 3)
        lines: Sequence[str] = wrap(text, self.width - indent, break_on_hyphens=False) or [""]
        return [((" " * indent + line, style),) for line in lines]


def _readable(name: str, value: Any) -> Any:
    """Return a number of a node's facts as people read it."""
    if type(value) is int and abs(value) >= _LARGE:
        return size(value) if name.startswith("bytes") else f"{value:,}"
    return value
