"""Reading back what a file carries. The file may come from anybody: nothing in it is believed, and nothing of it runs.

Sizes are bounded before anything is read whole, the form is checked, and only a graph's own parts are written out; the
graph is then a file like any other, which `vflow check` and `vflow plan` show before it runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vflow.engine.carried import FORMAT, MAX_TEXT, carrier_of, carriers
from vflow.engine.document import parse
from vflow.engine.graph import FORMAT as GRAPH_FORMAT
from vflow.engine.parameters import is_wanted
from vflow.engine.problems import GraphError, printable
from vflow.engine.withheld import graph_text

if TYPE_CHECKING:
    from vflow.engine.store import Store

_KEY = re.compile(r"[0-9a-f]{64}")
_NO_RECIPE = "only what vflow exported without `--embed none` carries one, and some programs drop it when they save"


class NodeFacts(BaseModel):
    """What a recipe says of a node. Keys are those of the store; `count` is how many items there are."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    type: str = ""
    version: int = 0
    key: str = ""
    items: list[str] = Field(default=[], max_length=100_000)
    count: int = 0
    inputs: dict[str, str] = {}
    pins: dict[str, str] = {}

    @property
    def keys(self) -> list[str]:
        """The keys of its results, without what is no key."""
        return [key for key in (self.items if self.count or self.items else [self.key]) if _KEY.fullmatch(key)]


class GraphData(BaseModel):
    """A graph as plain data. What is no part of a graph that was resolved is dropped."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    name: str = ""
    about: str = ""
    params: dict[str, Any] = {}
    nodes: dict[str, dict[str, Any]]
    outputs: dict[str, str] = {}


class Recipe(BaseModel):
    """A recipe, as `engine.carried` describes it."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    graph: GraphData
    output: str = ""
    nodes: dict[str, NodeFacts] = {}
    packages: dict[str, str] = {}
    metrics: dict[str, dict[str, float]] = {}


@dataclass(frozen=True)
class Kept:
    """What a store has of a node: `found` of `total` results; `total` is 0 where the recipe does not tell the keys."""

    found: int
    total: int


@dataclass(frozen=True)
class Opened:
    """A file's recipe. A pack also tells the keys of the `results` in it, and has its graph as a `source` text."""

    file: Path
    recipe: Recipe
    results: list[str] = field(default_factory=list)
    source: str = ""

    @cached_property
    def text(self) -> str:
        """The graph as a graph file.

        Raises:
            GraphError: it cannot be written as one.
        """
        if self.source:
            return self.source
        try:
            text = graph_text(self.recipe.graph.model_dump(), GRAPH_FORMAT)
            document = parse(text, "its graph")
        except (TypeError, ValueError, RecursionError) as error:
            raise GraphError(f"{self.file}: its graph cannot be written: {printable(error)}") from error
        if document.problems:
            raise GraphError(document.problems)
        return text

    @property
    def wanted(self) -> list[str]:
        """The parameters that have to be given before the graph runs."""
        return [name for name, value in self.recipe.graph.params.items() if is_wanted(value)]

    def kept(self, store: Store) -> dict[str, Kept]:
        """Return what a store has of each node whose keys are told."""
        keys = {name: node.keys for name, node in self.recipe.nodes.items()}
        records = store.lookup({key for mine in keys.values() for key in mine})
        found = {name: Kept(sum(key in records for key in mine), len(mine)) for name, mine in keys.items() if mine}
        for name, node in self.recipe.nodes.items():
            if node.count and not node.items:
                found[name] = Kept(0, 0)
        return found

    def kept_results(self, store: Store) -> Kept:
        """Return what a store has of a pack's results."""
        return Kept(len(store.lookup(filter(_KEY.fullmatch, self.results))), len(self.results))


def open_file(file: Path) -> Opened:
    """Read the recipe that a file carries.

    Raises:
        GraphError: there is none, or it cannot be read.
    """
    from vflow.engine.opened_pack import is_pack, open_pack

    try:
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "is not there"
            raise GraphError(f"{file} {what}", "name a file that a run exported")
        if is_pack(file):
            return open_pack(file)
        text = _text_of(file)
    except (OSError, ValueError) as error:
        raise GraphError(f"{file} cannot be read: {printable(error)}", "is it what its ending says?") from error
    if text is None:
        raise GraphError(f"{file} carries no recipe", _NO_RECIPE)
    if len(text) > MAX_TEXT:
        raise GraphError(f"the recipe in {file} is longer than {MAX_TEXT >> 20} MiB")
    return Opened(file, _recipe(file, text))


def _text_of(file: Path) -> str | None:
    carrier = carrier_of(file.name)
    if carrier is None:
        known = ", ".join(f".{ending}" for ending in sorted(carriers()))
        raise GraphError(f"{file}: a file of this ending carries no recipe", f"those that may: {known}, and packs")
    return carrier.read(file)


def _recipe(file: Path, text: str) -> Recipe:
    try:
        head = _Head.model_validate_json(text)
        if head.vflow > FORMAT:
            raise GraphError(
                f"the recipe in {file} has format {head.vflow}, this vflow reads {FORMAT}", "upgrade vflow"
            )
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = printable(".".join(map(str, first["loc"])))
        raise GraphError(f"the recipe in {file} is not one: {where or 'it'}: {printable(first['msg'])}") from error


class _Head(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    vflow: int = Field(ge=1)
