"""What this installation offers under the entry points of vflow: node types, commands, and other hooks.

Importing this module is cheap, and listing entry points imports none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import Problem

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from vflow.engine.node import Node

NODES = "vflow.nodes"


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module.partition(".")[0]


@cache
def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, those of vflow first; nothing of them is imported."""
    # ours first, so that another package cannot take the name of what ships
    found = _every_entry_point().select(group=group)
    return tuple(sorted(found, key=lambda p: (_package(p) != "vflow", _package(p), p.name)))


@cache
def _every_entry_point() -> Any:
    from importlib.metadata import entry_points as find

    return find()  # looking through all distributions takes long, for one group as for all


def usable(group: str) -> Iterator[tuple[str, Any]]:
    """Yield name and object of each entry point of a group that loads; of the others `complaints` tells."""
    for point in entry_points(group):
        if (found := loaded(point)) is not None:
            yield point.name, found


def answers(group: str, *arguments: Any) -> Iterator[Any]:
    """Call each entry point of a group and yield what it answers; one that fails is left out, and complained of."""
    return (answer for _, answer in named_answers(group, *arguments))


def named_answers(group: str, *arguments: Any) -> Iterator[tuple[str, Any]]:
    """Do as `answers`, with the name of each entry point."""
    for point in entry_points(group):
        if (call := loaded(point)) is None:
            continue
        try:
            answer = call(*arguments)
            answer = list(answer) if isinstance(answer, Iterator) else answer
        except Exception as error:
            _complain(point, f"its part of {group} failed: {type(error).__name__}: {error}")
        else:
            yield point.name, answer


def loaded(point: EntryPoint) -> Any | None:
    """Return what an entry point names; None where it does not load, of which `complaints` tells."""
    try:
        return point.load()
    except Exception as error:
        _complain(point, f"its part of {point.group} cannot be loaded: {type(error).__name__}: {error}")
        return None


def complaints() -> list[Problem]:
    """Return what was found wrong with packages since this was last asked: one warning for each of them."""
    new = [problem for problem in _broken.values() if problem not in _told]
    _told.update(new)
    return new


_broken: dict[str, Problem] = {}  # package -> what is wrong with it
_told: set[Problem] = set()


def _complain(point: EntryPoint, message: str, remedy: str = "update or remove this package") -> Problem:
    problem = Problem(message, remedy, f"package {_package(point)}, {point.value}", "warning")
    return _broken.setdefault(_package(point), problem)


def is_ours(cls: type) -> bool:
    """Tell whether a class is vflow's own."""
    return cls.__module__.startswith("vflow.")


@cache
def _load() -> tuple[Mapping[str, type[Node]], tuple[Problem, ...]]:
    from vflow.engine.node import Node

    problems: list[Problem] = []
    for point in entry_points(NODES):
        before = dict(Node.types)
        try:
            declared = point.load()
            if callable(declared):
                declared()
        except Exception as error:
            message = f"its nodes cannot be loaded: {type(error).__name__}: {error}"
            remedy = "update or remove this package; its node types are unknown until then"
            problem = _complain(point, message, remedy)
            _told.add(problem)
            problems.append(problem)
        for name, cls in before.items():
            if (new := Node.types[name]) is not cls:
                # whichever was imported first, what ships keeps its name
                kept, left_out = (new, cls) if is_ours(new) else (cls, new)
                Node.types[name] = kept
                problems.append(_left_out(point, f"a second node type {name!r}", left_out, kept))
        problems += _misread(point)
    return MappingProxyType(Node.types), tuple(problems)


def _misread(point: EntryPoint) -> Iterator[Problem]:
    """Drop the nodes of a package whose values have the name of another's: a kept one would be read back as that."""
    from vflow.engine.node import Node
    from vflow.engine.values import Value

    package = point.module.partition(".")[0]
    for name, cls in list(Node.types.items()):
        if is_ours(cls) or cls.__module__.partition(".")[0] != package:
            continue
        kinds = [kind for port in (*cls.ports.values(), *cls.outputs.values()) for kind in port.types]
        for kind in kinds:
            if (known := Value.kinds.get(kind.__name__, kind)) is not kind:
                del Node.types[name]
                what = f"the node type {name!r}, whose values are a second type {kind.__name__!r},"
                yield _left_out(point, what, kind, known)
                break


def _left_out(point: EntryPoint, what: str, left_out: type, kept: type) -> Problem:
    package = _package(point) if not is_ours(left_out) and _package(point) != "vflow" else left_out.__module__
    message = f"{what} is left out; {kept.__module__} has one already"
    return Problem(message, "", f"package {package}, {left_out.__module__}", "warning")


def load_node_types() -> Mapping[str, type[Node]]:
    """Return all node types by name; their declarations are imported at the first call."""
    return _load()[0]


def registry_problems() -> list[Problem]:
    """Return a warning for each package whose node types could not be taken."""
    return list(_load()[1])
