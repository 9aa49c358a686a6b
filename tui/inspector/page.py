"""A form drawn as lines: pure, so that it is tested as text. The widget shows it, and lays an editor over one value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rich.cells import cell_len

from vflow.engine.forms import Field, Form
from vflow.engine.inline import has_parameter
from vflow.engine.outline import PortView
from vflow.engine.problems import Problem
from vflow.tui.glyphs import Glyphs
from vflow.tui.inspector import words

#: How a run of characters looks; each is a component class `inspector--ROLE`.
Role = Literal["plain", "title", "heading", "label", "value", "default", "hint", "origin", "link", "error", "warning"]
#: from this width on, what set a value stands in a column of its own
WIDE = 64
_ORIGIN = 22
_MOST_LABEL, _MOST_VALUE = 26, 56
_MOST_LINES = 6  # of a list of texts that is not being edited


class Key(NamedTuple):
    """What the cursor can stand on: a field by its path, or a port (`in`, `out`) by its name."""

    kind: Literal["field", "in", "out"]
    path: tuple[str, ...]


class Run(NamedTuple):
    """Characters that look alike."""

    text: str
    role: Role = "plain"


@dataclass(frozen=True)
class Row:
    """Where something lies on the page: its lines, and the cells of its value, over which an editor is laid."""

    key: Key
    top: int
    height: int
    x: int
    width: int
    lines: int = 1  #: of the value


@dataclass
class Page:
    """The lines of a form."""

    width: int
    lines: list[list[Run]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def row(self, key: Key | None) -> Row | None:
        """Return the row of a field or port."""
        return next((row for row in self.rows if row.key == key), None)

    def at(self, y: int) -> Row | None:
        """Return the row that a line belongs to."""
        return next((row for row in self.rows if row.top <= y < row.top + row.height), None)

    def text(self) -> str:
        """Return the page without its looks."""
        return "\n".join("".join(run.text for run in line).rstrip() for line in self.lines)


@dataclass(frozen=True)
class Typing:
    """What is being typed: where, what the engine says of it, and how many lines the editor takes."""

    key: Key
    problem: str = ""
    lines: int = 1


def page(form: Form, width: int, glyphs: Glyphs, current: Key | None = None, typing: Typing | None = None) -> Page:
    """Draw a form in `width` cells. What is `current` is unfolded, with all that is to be said of it."""
    drawn = _Drawer(form, max(width, 20), glyphs, current, typing)
    drawn.head()
    drawn.ports("inputs", "in", form.inputs)
    drawn.settings()
    drawn.ports("outputs", "out", form.outputs)
    return drawn.page


def keys_of(form: Form) -> list[Key]:
    """Return all that the cursor can stand on, from top to bottom."""
    inputs = [Key("in", (port.name,)) for port in form.inputs]
    outputs = [Key("out", (port.name,)) for port in form.outputs]
    return [*inputs, *(Key("field", one.path) for one in form.fields), *outputs]


def is_switch(one: Field) -> bool:
    """Tell whether a field is drawn as a box to tick: true or false, or a group that may be left out."""
    if one.kind in ("group", "union"):
        return one.optional
    return one.kind == "bool" and isinstance(one.value, bool)


def wrap(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text, broken between words where that is possible, each of at most `width` cells."""
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            if line and cell_len(line) + 1 + cell_len(word) > width:
                yield line
                line = word
            else:
                line = f"{line} {word}" if line else word
            while cell_len(line) > width:
                kept = next(at for at in range(len(line), 0, -1) if cell_len(line[:at]) <= width or at == 1)
                yield line[:kept]
                line = line[kept:]
        yield line


class _Drawer:
    def __init__(self, form: Form, width: int, glyphs: Glyphs, current: Key | None, typing: Typing | None) -> None:
        self.form, self.width, self.glyphs, self.current, self.typing = form, width, glyphs, current, typing
        self.page = Page(width)
        self.wide = width >= WIDE
        labels = [cell_len(one.label) + 2 * one.level for one in form.fields]
        labels += [cell_len(port.name) for port in (*form.inputs, *form.outputs)]
        most = min(_MOST_LABEL, width * 2 // 5)
        self.label_width = min(max(labels, default=8), most)

    def line(self, *runs: Run) -> None:
        self.page.lines.append([run for run in runs if run.text])

    # --- head ------------------------------------------------------------------------------------------------------

    def head(self) -> None:
        form, cut = self.form, self.glyphs.text
        name, kind = cut(form.node), cut(form.type or "no type")
        notes = ", disabled" * form.disabled + ", light" * form.light
        right = f"{kind}{notes}"
        room = self.width - 2 - cell_len(name)
        if cell_len(right) + 2 <= room:
            self.line(Run(f" {name}", "title"), Run(right.rjust(room), "hint"), Run(" "))
        else:
            self.line(Run(f" {self.glyphs.cut(name, self.width - 2)}", "title"))
            self.line(Run(f" {self.glyphs.cut(right, self.width - 2)}", "hint"))
        about = form.about.partition("\n\n")[0].replace("\n", " ")
        self.wrapped(cut(about), "hint", 1, most=2)
        for problem in form.loose:
            self.problem(str_of(problem), problem.severity, 1)

    def wrapped(self, text: str, role: Role, indent: int, most: int = 0) -> None:
        if not text:
            return
        lines = list(wrap(text, self.width - indent - 1))
        if most and len(lines) > most:
            lines = [*lines[: most - 1], self.glyphs.cut(" ".join(lines[most - 1 :]), self.width - indent - 1)]
        for line in lines:
            self.line(Run(" " * indent + line, role))

    def problem(self, said: str, severity: str, indent: int) -> None:
        """Draw what is wrong, one sentence a line, with the mark of its severity."""
        mark = {"error": "E", "warning": "W"}.get(severity, "i")
        role: Role = "error" if severity == "error" else "warning" if severity == "warning" else "hint"
        for sentence in said.split("\n"):
            lines = wrap(self.glyphs.text(sentence), self.width - indent - 3)
            for index, line in enumerate(lines):
                self.line(Run(f"{' ' * indent}{mark if index == 0 else ' '} {line}", role))

    def heading(self, name: str) -> None:
        rule = self.glyphs.line(left=1, right=1)
        self.line()
        self.line(Run(f"{rule} {name} {rule * max(0, self.width - len(name) - 3)}", "heading"))

    # --- ports -----------------------------------------------------------------------------------------------------

    def ports(self, title: str, side: Literal["in", "out"], ports: tuple[PortView, ...]) -> None:
        if not ports:
            return
        self.heading(title)
        for port in ports:
            self._port(Key(side, (port.name,)), port, side)

    def _port(self, key: Key, port: PortView, side: Literal["in", "out"]) -> None:
        top, x = len(self.page.lines), self.label_width + 2
        arrow = self.glyphs.out_of if side == "in" else self.glyphs.into
        links = self.glyphs.text(", ".join(port.links)) or self.glyphs.dash
        said = self.glyphs.text(words.port_words(port, side))
        room = min(self.width - x - _ORIGIN - 10, _MOST_VALUE - 2) if self.wide else self.width - x - 2
        kind = f" {self.glyphs.cut(said, self.width - x - room - 4)}" if self.wide else ""
        self.line(
            self._cursor(key),
            Run(self.glyphs.fit(self.glyphs.text(port.name), self.label_width), "label"),
            Run(f" {arrow} "),
            Run(self.glyphs.fit(links, room), "link" if port.links else "hint"),
            Run(kind, "hint"),
        )
        if side == "in" and (wrong := self.form.at_ports.get(port.name, "")):
            self.problem(wrong, "error", 3)
        if key == self.current:
            unfolded = [links] * (cell_len(links) > room) + [said] * (kind != f" {said}")
            for one in unfolded:
                self.wrapped(one, "hint", 3)
        self.page.rows.append(Row(key, top, len(self.page.lines) - top, x, self.width - x - 1))

    def _cursor(self, key: Key) -> Run:
        return Run(self.glyphs.into if key == self.current else " ", "title")

    # --- settings --------------------------------------------------------------------------------------------------

    def settings(self) -> None:
        if self.form.fields:
            self.heading("settings")
        for one in self.form.fields:
            self._field(one)

    def _field(self, one: Field) -> None:
        key, top, x = Key("field", one.path), len(self.page.lines), self.label_width + 2
        typing = self.typing if self.typing is not None and self.typing.key == key else None
        width = min(self.width - x - 1 - _ORIGIN, _MOST_VALUE) if self.wide else self.width - x - 1
        label = self.glyphs.fit("  " * one.level + self.glyphs.text(one.label), self.label_width)
        values = self._values(one, width, typing)
        origin = self.glyphs.text(words.origin_of(one)) if self.wide else ""
        for index, value in enumerate(values):
            first = index == 0
            self.line(
                self._cursor(key) if first else Run(" "),
                Run(label if first else " " * self.label_width, "label"),
                Run(" "),
                *value,
                Run(f" {self.glyphs.cut(origin, _ORIGIN - 1)}" if first and origin else "", "origin"),
            )
        indent = 1 + 2 * (one.level + 1)
        wrong = typing.problem if typing is not None else one.problem
        if wrong:
            self.problem(wrong, "error" if typing is not None else one.severity, indent)
        if key == self.current:
            for said in words.lines_of(one):
                self.wrapped(self.glyphs.text(said), "hint", indent)
        else:
            self._hint(one, indent)
        self.page.rows.append(Row(key, top, len(self.page.lines) - top, x, width, len(values)))

    def _hint(self, one: Field, indent: int) -> None:
        """Draw one line about a field; where there is no column for it, what set the value comes first."""
        origin = "" if self.wide else self.glyphs.text(words.origin_of(one))
        room = self.width - indent - 1
        origin = self.glyphs.cut(origin, room)
        between = f" {self.glyphs.middle} "
        hint = between.join(words.hint_of(one))
        if origin and hint:
            hint = between + hint
        if origin or hint:
            hint = self.glyphs.cut(self.glyphs.text(hint), room - cell_len(origin))
            self.line(Run(" " * indent), Run(origin, "origin"), Run(hint, "hint"))

    def _values(self, one: Field, width: int, typing: Typing | None) -> list[list[Run]]:
        """Return the lines of a value, each of `width` cells."""
        role: Role = "value" if one.is_set else "default"
        fit, cut, text = self.glyphs.fit, self.glyphs.cut, self.glyphs.text(one.text.replace("\n", " "))
        if typing is not None and typing.lines > 1:
            return [[Run(" " * width, role)] for _ in range(typing.lines)]
        if is_switch(one):
            on = one.value is True or (one.kind != "bool" and one.value is not None)
            return [[Run("[x]" if on else "[ ]", role), Run(" " * (width - 3))]]
        if one.kind in ("group", "union"):
            return [[Run(" " * width)]]
        if not one.text:
            return [
                [Run(fit("required" if one.required else "empty", width), "warning" if one.required else "default")]
            ]
        if one.kind == "choice":
            return [[Run(fit(f"{cut(text, width - 2)} {self.glyphs.down}", width), role)]]
        if one.lines:
            return self._texts(one, width, role)
        unit = f" {one.unit}" if one.unit and not has_parameter(one.text) else ""
        return [[Run(cut(text, width), role), Run(fit(unit, max(0, width - cell_len(text))), "default")]]

    def _texts(self, one: Field, width: int, role: Role) -> list[list[Run]]:
        given = one.text.splitlines()
        shown = given if len(given) <= _MOST_LINES else given[: _MOST_LINES - 1]
        lines = [[Run(self.glyphs.fit(self.glyphs.text(line), width), role)] for line in shown]
        if len(shown) < len(given):
            lines.append([Run(self.glyphs.fit(f"and {len(given) - len(shown)} more", width), "hint")])
        return lines


def str_of(problem: Problem) -> str:
    """Return what is wrong and what to do, in one line."""
    return (f"{problem.message}; {problem.remedy}" if problem.remedy else problem.message).replace("\n", " ")
