"""What this installation offers under the entry points of vflow: node types, commands, and other hooks.

Importing this module is cheap, and listing entry points imports none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vflow.engine.problems import Problem

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from vflow.engine.node import Node

NODES = "vflow.nodes"


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else ""


@cache
def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, those of vflow first; nothing of them is imported."""
    from importlib.metadata import entry_points as find

    # ours first, so that another package cannot take the name of what ships
    return tuple(sorted(find(group=group), key=lambda p: (_package(p) != "vflow", _package(p), p.name)))


def hooks(group: str) -> list[tuple[str, Callable[[], Any]]]:
    """Return name and loader of each entry point of a group; calling the loader imports it and returns the object."""
    return [(point.name, point.load) for point in entry_points(group)]


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
            problems.append(Problem(message, remedy, f"package {_package(point)}, {point.value}", "warning"))
        for name, cls in before.items():
            if Node.types[name] is not cls:
                message = f"a second node type {name!r} is left out; {cls.__module__} has one already"
                problems.append(Problem(message, "", f"package {_package(point)}, {point.value}", "warning"))
                Node.types[name] = cls
    return MappingProxyType(Node.types), tuple(problems)


def load_node_types() -> Mapping[str, type[Node]]:
    """Return all node types by name; their declarations are imported at the first call."""
    return _load()[0]


def registry_problems() -> list[Problem]:
    """Return a warning for each package whose node types could not be taken."""
    return list(_load()[1])
