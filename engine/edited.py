"""What differs between two texts of a graph, in words for whoever looks at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vflow.engine.document import parse
from vflow.engine.inline import shown

_LONGEST = 30  # characters of a value


def differences(before: str, after: str) -> list[str]:
    """Return what was changed, one text for each place: `train.steps: 20, now 30`, `lora added`.

    Empty where only comments or the layout differ. A text that is no YAML counts as empty.
    """
    return list(_differ((), _data(before), _data(after)))


def _data(text: str) -> Any:
    document = parse(text)
    return document.root.plain() if document.root is not None else {}


def _differ(path: tuple[str, ...], before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            inside = (*path, str(name))
            if name not in after:
                yield f"{_place(inside)} removed"
            elif name not in before:
                yield f"{_place(inside)} added"
            else:
                yield from _differ(inside, before[name], after[name])
    elif before != after:
        yield f"{_place(path)}: {_cut(before)}, now {_cut(after)}"


def _place(path: tuple[str, ...]) -> str:
    return ".".join(path[1:] if len(path) > 1 and path[0] == "nodes" else path) or "the graph"


def _cut(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
