"""The model card beside an exported adapter: what it is and how to load it, for people, and its recipe, for vflow.

The recipe stands in a comment at the end, which no viewer of Markdown shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from vflow.engine.carried import Carried
    from vflow.nodes.values import Adapter

#: longer cards are not read
MAX_CARD = 16 << 20

_BEGIN, _END = "<!-- vflow\n", "\n-->"


def text(adapter: Adapter, carried: Carried) -> str:
    """Return the card of an adapter: equal adapters of equal graphs have equal cards."""
    data = carried.data
    graph, base = data["graph"], _base(data)
    parts = [
        "\n".join(["---", *_front(adapter, base), "---"]),
        f"# {graph['name']}",
        *([graph["about"]] if graph.get("about") else []),
        _about(adapter, base),
        _use(adapter, base),
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
    """The model below the adapter: its repository with the commit, or what the graph calls it; "" for a local one."""

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


def _front(adapter: Adapter, base: _Base) -> Iterator[str]:
    yield "library_name: diffusers"
    if base.repository:
        yield f'base_model: "{base.repository}"'
        yield "base_model_relation: adapter"
    yield f'tags: [lora, "{adapter.family}", vflow]'


def _about(adapter: Adapter, base: _Base) -> str:
    from vflow.nodes.families import families

    known = families()
    title = known[adapter.family].title if adapter.family in known else adapter.family
    name, commit = base.repository or base.model, f" at `{base.commit[:12]}`" if base.commit else ""
    named = f" (`{name}`{commit})" if name else ""
    after = f", trained for {adapter.step} steps" if adapter.step else ""
    return f"A LoRA of rank {adapter.rank} for {title}{named}{after}."


def _use(adapter: Adapter, base: _Base) -> str:
    from vflow.nodes.families import families
    from vflow.nodes.families.base import Family

    name, known = base.repository or "the base model", families()
    how = known[adapter.family].loads_adapter_by if adapter.family in known else Family.loads_adapter_by
    call = how.format(folder="path/to/this/folder", file="pytorch_lora_weights.safetensors")
    code = [
        "from diffusers import DiffusionPipeline",
        "",
        f'pipe = DiffusionPipeline.from_pretrained("{name}")',
        f"pipe.{call}",
    ]
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
