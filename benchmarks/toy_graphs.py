"""Torch-free graphs of any size, and `vflow` over them: what the engine itself costs.

python benchmarks/toy_graphs.py layered 1000 graph.yaml        write a graph
python benchmarks/toy_graphs.py vflow run graph.yaml           vflow, with these node types
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

from vflow.engine.context import Context
from vflow.engine.node import Node
from vflow.engine.values import Artifact, Item, Items, Value


class Hashed(Artifact):
    text: str


class Word(Value):
    text: str


class Start(Node):
    """A root of a layered graph."""

    number: int

    def run(self, context: Context) -> Hashed:
        return Hashed(text=str(self.number))


class Hash(Node):
    """Hash two inputs."""

    def run(self, context: Context, a: Hashed, b: Hashed) -> Hashed:
        import hashlib

        return Hashed(text=hashlib.sha256(f"{a.text} {b.text}".encode()).hexdigest())


class Words(Node):
    """Many items; one of them may be changed."""

    light = True
    count: int
    changed: int = -1

    def run(self, context: Context) -> Items[Word]:
        return Items(Item(f"{n:07d}", Word(text=f"{n}!" if n == self.changed else str(n))) for n in range(self.count))


class Each(Node):
    """One result per item."""

    def run(self, context: Context, words: Items[Word]) -> Iterator[Hashed]:
        for word in words:
            yield Hashed(text=word.text)


class Files(Node):
    """Hash every file of a folder."""

    light = True
    folder: str

    def run(self, context: Context) -> Items[Word]:
        paths = sorted(Path(self.folder).iterdir())
        digests = context.digests_of(paths)
        return Items(Item(path.name, Word(text=digests[path])) for path in paths)


def layered(nodes: int) -> str:
    """A graph of about sqrt(N) layers, each node hashing two of the layer before."""
    width = max(1, round(math.sqrt(nodes)))
    lines = ["vflow: 1", "name: layered", "nodes:"]
    for n in range(nodes):
        layer, place = divmod(n, width)
        if layer == 0:
            lines.append(f"  n{n}: {{type: Start, number: {n}}}")
        else:
            a, b = (layer - 1) * width + place, (layer - 1) * width + (place + 1) % width
            lines.append(f"  n{n}: {{type: Hash, inputs: {{a: n{a}, b: n{b}}}}}")
    return "\n".join(lines) + "\n"


def itemised(count: int, changed: int = -1) -> str:
    """A graph with one list of many items."""
    return (
        "vflow: 1\nname: items\nnodes:\n"
        f"  words: {{type: Words, count: {count}, changed: {changed}}}\n"
        "  each: {type: Each, inputs: {words: words}}\n"
    )


def main() -> None:
    command, *words = sys.argv[1:]
    if command == "layered":
        Path(words[1]).write_text(layered(int(words[0])))
        return
    from vflow.engine.cli import main as vflow

    sys.exit(vflow(words))


if __name__ == "__main__":
    main()
