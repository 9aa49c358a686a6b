"""Small torch-free nodes to try the engine with, and a way to run graphs of them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest

from vflow.engine.cli import main
from vflow.engine.context import Context
from vflow.engine.node import Node, Observed, Outputs, horizon, observe, placement
from vflow.engine.problems import Failure, GraphError, Problem
from vflow.engine.values import Artifact, Blob, Item, Items, Recipe, Value, elsewhere

#: what the toy nodes did, in order; a test's fixture empties it
DONE: list[str] = []


class ToyWord(Value):
    text: str


class ToyText(Artifact):
    blob: Blob
    length: int

    def plain_files(self):
        yield "text.txt", self.blob


class ToyTool(Recipe):
    name: str
    sharpness: int = 0
    place: str = elsewhere("shelf")

    @property
    def base(self):
        return self.name

    def is_fetched(self, context):
        return context.recall("tool", self.name) is not None

    def fetch(self, context):
        DONE.append(f"fetch {self.name}")
        context.record_fact("tool", self.name, True)

    def files_needed(self):
        return (f"tool {self.name}",)

    def open_base(self, context):
        DONE.append(f"open {self.name}")
        return {"name": self.name, "sharpness": 0}

    def prepare(self, base, context):
        base["sharpness"] = self.sharpness
        return base

    def restore(self, base, live, context):
        base["sharpness"] = 0
        return True

    def close_base(self, base):
        DONE.append(f"close {self.name}")


class ToyWords(Node):
    """A light source of words."""

    light = True
    words: tuple[str, ...]
    file: str = ""

    def run(self, context: Context) -> Items[ToyWord]:
        DONE.append("words")
        words = self.words
        if self.file:
            with open(self.file) as file:
                words = tuple(file.read().split())
        if "bad" in words:
            raise GraphError([Problem("a bad word", "leave it out"), Problem("really")])
        for word in words:
            if word.startswith("skip"):
                context.leave_out(word, "it starts with skip")
        kept = [word for word in words if not word.startswith("skip")]
        return Items(Item(word, ToyWord(text=word.lower())) for word in kept)


class ToyTake(Node):
    """A recipe."""

    light = True
    name: str
    sharpness: int = 0

    def run(self, context: Context) -> ToyTool:
        return ToyTool(name=self.name, sharpness=self.sharpness)


class ToyPlace(Node):
    """Puts a tool elsewhere: a transformation that only places."""

    light = True
    where: str = "floor"

    def run(self, context: Context, tool: ToyTool) -> ToyTool:
        return tool.model_copy(update={"place": self.where})


class ToyCarve(Node):
    """Per item, with a tool."""

    times: int = 1
    workers: int = placement(1)
    empty: bool = False

    def also(self, items):
        return Items([Item("empty", ToyWord(text=""))]) if self.empty else Items()

    def preflight(self, context, **inputs):
        if self.times > 9:
            yield Problem("too many times", "carve at most 9")

    def run(self, context: Context, words: Items[ToyWord], tool: ToyTool | None = None) -> Iterator[ToyText]:
        for word in words:
            if word.text == "fail":
                raise Failure("the knife broke", "take another")
            if word.text == "crash":
                raise ZeroDivisionError("by accident")
            DONE.append(f"carve {word.text}")
            if tool is not None:
                with context.load(tool) as live:
                    assert live["sharpness"] == tool.sharpness
            text = word.text * self.times
            yield ToyText(blob=context.put(text.encode(), ".txt"), length=len(text))


class ToyMeasure(Node):
    """Whole: the lengths, so that unlike texts of equal lengths give an equal result."""

    def run(self, context: Context, texts: Items[ToyText]) -> ToyText:
        DONE.append("measure")
        data = json.dumps([text.length for text in texts]).encode()
        return ToyText(blob=context.put(data), length=len(data))


class ToyWalked(Outputs):
    path: ToyText
    stops: Annotated[Items[ToyText], Observed]


class ToyWalk(Node):
    """Like a training: goes `steps` far, keeps its state in the work folder, is observed on the way."""

    steps: int = horizon(3)
    shaped: bool = False
    note: str = observe("")

    def open_ended(self):
        return not self.shaped

    def read_observed(self, context, output):
        stops = context.work / "stops.json"
        kept = json.loads(stops.read_text()) if stops.exists() else []
        return {"stops": Items(Item(f"s{n:02d}", ToyText(**text)) for n, text in kept)}

    def run(
        self, context: Context, text: ToyText, watch: Annotated[Items[ToyText] | None, Observed] = None
    ) -> ToyWalked:
        state = context.work / "state.json"
        at = json.loads(state.read_text()) if state.exists() else 0
        at = at if at <= self.steps else 0
        start = context.blob_path(text.blob).read_text()
        for step in range(at, self.steps):
            DONE.append(f"step {step}")
            context.progress(step + 1, self.steps, "step", loss=1.0 / (step + 1))
            context.metrics(step + 1, {"train/loss": 1.0 / (step + 1)})
        state.write_text(json.dumps(self.steps))
        out = ToyText(blob=context.put(f"{start} {self.steps}".encode(), ".txt"), length=self.steps)
        (context.work / "stops.json").write_text(json.dumps([[self.steps, out.model_dump()]]))
        context.publish(out.blob, "checkpoints/last.txt")
        return ToyWalked(path=out, stops=Items())


class ToyLeaf(Value):
    """A text file of the user, by its content."""

    page: str


class ToyFolder(Node):
    """Like a scan of clips: looks at the user's files, which stay where they are."""

    light = True
    source: str
    note: str = placement("")

    def run(self, context: Context) -> Items[ToyLeaf]:
        DONE.append("folder")
        folder = Path(self.source).expanduser()
        if not folder.is_dir():
            raise GraphError([Problem(f"there is no folder {self.source}", "name one", "source")])
        digests = context.digests_of(sorted(folder.glob("*.txt")))
        for path, digest in digests.items():
            context.pin(f"file {path.name}", digest)
            context.locate(digest, path.absolute())
            context.label(digest, path.name)
        context.report({"pages": len(digests), "place": str(folder)})
        return Items(Item(digest[:8], ToyLeaf(page=digest)) for digest in sorted(set(digests.values())))


class ToyBranch(Node):
    """Like a model on a hub: `hub.json` of the current folder says which commit a name stands for now."""

    light = True
    name: str

    def run(self, context: Context) -> ToyTool:
        DONE.append("shelf")
        commit = context.pinned(f"hub {self.name}@main")
        commit = commit or json.loads(Path("hub.json").read_text())[self.name]
        context.pin(f"hub {self.name}@main", commit)
        return ToyTool(name=commit)


class ToyRead(Node):
    """Per item: needs the files themselves."""

    def run(self, context: Context, pages: Items[ToyLeaf], tool: ToyTool | None = None) -> Iterator[ToyText]:
        for page in pages:
            text = context.path_of(page.page).read_text()
            DONE.append(f"read {text}")
            if tool is not None:
                with context.load(tool):
                    pass
            yield ToyText(blob=context.put(text.encode(), ".txt"), length=len(text))


class ToyLeaky(Node):
    """Fails as libraries do that quote all they know."""

    def run(self, context: Context) -> ToyText:
        context.log(f"reading {os.environ['HOME']}/file")
        raise RuntimeError(f"401 for Bearer {os.environ['HF_TOKEN']} at {os.environ['HOME']}/file")


class ToySaid(Artifact):
    blob: Blob
    said: str = elsewhere("", words=True)


class ToyTold(Node):
    """Its result remembers the user's words."""

    words: tuple[str, ...]

    def run(self, context: Context) -> ToySaid:
        return ToySaid(blob=context.put(b"told", ".txt"), said=f"said-of {self.words[0]}")


class ToyPost(Node):
    """Sends something out."""

    to: str = observe("")
    quietly: bool = observe(False, description="Sends without having said so.")

    def sends(self):
        return () if self.quietly or not self.to else (self.to,)

    def run(self, context: Context, text: ToyText) -> ToyText:
        if self.to:
            context.may_send(self.to)
            DONE.append(f"sent to {self.to}")
        return text


@pytest.fixture
def done():
    DONE.clear()
    return DONE


@pytest.fixture
def vflow(tmp_path, monkeypatch, capfd, done):
    """Call the command line in a folder of its own with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VFLOW_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def call(*words):
        done.clear()
        capfd.readouterr()
        code = main([str(word) for word in words])
        captured = capfd.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=captured.err, done=list(done))

    return call


@pytest.fixture
def graph(tmp_path):
    """Write a graph file from nodes and outputs in YAML flow style."""

    def write(nodes, outputs="", name="g", more=""):
        lines = [f"vflow: 1\nname: {name}", more, "nodes:"]
        lines += [f"  {node}: {{{text}}}" for node, text in nodes.items()]
        if outputs:
            lines += ["outputs:", *(f"  {key}: {link}" for key, link in outputs.items())]
        path = tmp_path / f"{name}.yaml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write
