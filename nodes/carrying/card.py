"""The model card beside exported adapters and weights: what they are and how to load them, and the recipe, for vflow.

The recipe stands in a comment at the end, which no viewer of Markdown shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from vflow.engine.carried import Carried
    from vflow.nodes.values import Learned

#: longer cards are not read
MAX_CARD = 16 << 20

_BEGIN, _END = "<!-- vflow\n", "\n-->"


def text(learned: Learned, carried: Carried) -> str:
    """Return the card of what was trained: equal results of equal graphs have equal cards."""
    data = carried.data
    graph, base = data["graph"], _base(data)
    parts = [
        "\n".join(["---", *_front(learned, base), "---"]),
        f"# {graph['name']}",
        *([graph["about"]] if graph.get("about") else []),
        _about(learned, base),
        _use(learned, base),
        *_figures(data["metrics"]),
        _recipe(carried),
        # `--` would end the comment; inside a text of JSON this is the same
        _BEGIN + carried.text.replace("--", "-\\u002d") + _END,
    ]
    return "\n\n".join(parts) + "\n"


def read(file: Path) -> str | None:
    """Return the recipe in a card, or None where there is none.

    Raises:
        ValueError: it is too long, or no text.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        data = opened.read(MAX_CARD + 1)
    if len(data) > MAX_CARD:
        raise ValueError(f"it is longer than {MAX_CARD >> 20} MiB")
    _, begin, rest = data.decode().rpartition(_BEGIN)
    found, end, _ = rest.partition(_END)
    return found if begin and end else None


class _Base(NamedTuple):
    """The model that was trained: its repository with the commit, or what the graph calls it; "" for a local one."""

    repository: str = ""
    commit: str = ""
    model: str = ""


def _base(data: Mapping[str, Any]) -> _Base:
    for name, node in data["nodes"].items():
        if node["type"] == "LoadTransformer":
            model = str(data["graph"]["nodes"][name].get("model", ""))
            for what, commit in node.get("pins", {}).items():
                return _Base(what.removeprefix("hub ").partition("@")[0], commit, model)
            return _Base(model="" if model.startswith("$") else model)
    return _Base()


def _front(learned: Learned, base: _Base) -> Iterator[str]:
    yield "library_name: diffusers"
    if base.repository:
        yield f'base_model: "{base.repository}"'
        yield f"base_model_relation: {learned.relation}"
    yield f"tags: [{', '.join((*learned.tags, json.dumps(learned.family), 'vflow'))}]"


def _about(learned: Learned, base: _Base) -> str:
    from vflow.nodes.families import families

    known = families()
    title = known[learned.family].title if learned.family in known else learned.family
    name, commit = base.repository or base.model, f" at `{base.commit[:12]}`" if base.commit else ""
    named = f" (`{name}`{commit})" if name else ""
    after = f", trained for {learned.step} steps" if learned.step else ""
    return f"{learned.title(f'{title}{named}')}{after}."


def _use(learned: Learned, base: _Base) -> str:
    code = learned.use(base.repository or "the base model")
    return "\n".join(["## Use", "", "```python", *code, "```"])


def _figures(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    rows = [
        f"| {name} | {value:.6g} | {figures.get('step', '')} |"
        for figures in metrics.values()
        for name, value in figures.items()
        if name != "step"
    ]
    if rows:
        yield "\n".join(["## Figures", "", "| metric | value | step |", "| --- | --- | --- |", *rows])


def _recipe(carried: Carried) -> str:
    lines = ["## Recipe", "", "`vflow open README.md -o graph.yaml` writes out the graph that this came from."]
    if wanted := carried.data["graph"].get("params"):
        lines += [f"Before it runs it has to be given: {', '.join(f'`{name}`' for name in wanted)}."]
    return "\n".join([*lines, "", "```yaml", carried.graph_text.rstrip("\n"), "```"])
