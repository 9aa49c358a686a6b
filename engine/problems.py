"""What can be wrong, said in a way that any front end can show: where, what, and what to do instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

Severity = Literal["error", "warning", "hint"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth a word.

    `where` names the place in the graph in words (`nodes.train.steps`); `line` and `column` count from 1 and are 0
    where the place is not in a file.
    """

    message: str
    remedy: str = ""
    where: str = ""
    severity: Severity = "error"
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Read as `file:line:column: where: what is wrong; what to do`."""
        place = ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)]) if self.file else ""
        sentence = f"{self.message}; {self.remedy}" if self.remedy else self.message
        # names in it may be somebody else's
        return ": ".join(printable(part.replace("\n", " ")) for part in (place, self.where, sentence) if part)

    def at(self, where: str, file: str = "", line: int = 0, column: int = 0) -> Problem:
        """Return the same problem with its place filled in."""
        return replace(self, where=where, file=file, line=line, column=column)


@dataclass(frozen=True, slots=True)
class Unasked(Problem):
    """What cannot be known without the network, where that was not to be used: an error, but not the user's mistake.

    A plan that is made while somebody edits leaves it open.
    """


class VflowError(Exception):
    """Base of every error that is told to the user in words, without a traceback."""


class GraphError(VflowError):
    """The graph or the call is wrong: nothing was run. Carries every problem that was found."""

    def __init__(self, problems: Iterable[Problem] | Problem | str, remedy: str = "") -> None:
        if isinstance(problems, str):
            problems = Problem(problems, remedy)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Failure(VflowError):
    """A node could not do its work, for a reason that can be told: what happened, and what to do about it.

    `final`: nothing else of the run can succeed either (the disk is full), so that independent nodes stop too.
    """

    def __init__(self, message: str, remedy: str = "", *, final: bool = False) -> None:
        self.message, self.remedy, self.final = message, remedy, final
        super().__init__(f"{message}; {remedy}" if remedy else message)


class Transient(Failure):
    """A failure that may pass by itself (a network that does not answer): what raised it is tried again."""


class Interrupted(VflowError):
    """The user (or the system) asked the run to stop; what was finished is kept."""


def printable(said: object, longest: int = 0) -> str:
    """Return somebody else's text as one line that no terminal takes for a command; cut to `longest`, if given."""
    text = str(said)
    if longest and len(text) > longest:
        return f"{printable(text[:longest])}..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Return those problems with which nothing may run."""
    return [problem for problem in problems if problem.severity == "error"]


def suggest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return `did you mean x?` for the nearest known word, else `otherwise`, else the list of known words."""
    known = sorted(known)
    near = get_close_matches(word, known, n=1, cutoff=0.6) or [k for k in known if k.lower() == word.lower()]
    if near:
        return f"did you mean {near[0]!r}?"
    return otherwise or (f"known: {', '.join(known)}" if known else "")
