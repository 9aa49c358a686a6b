"""Pilot tests: how they run, and how a screen is compared with the one that is kept."""

import asyncio
import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vflow.engine.context import Context
from vflow.engine.node import Node, horizon, placement
from vflow.engine.problems import Failure
from vflow.engine.values import Artifact, Blob, Item, Items, Value

#: set to write the kept screens anew; look at what changed before keeping them
REWRITE = "VFLOW_WRITE_SCREENS"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run tests that are coroutines, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**wanted))
    return True


@pytest.fixture(autouse=True)
def a_users_place(tmp_path, monkeypatch):
    """A store and a configuration of the test's own, and a terminal that hides nothing."""
    monkeypatch.setenv("VFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("NO_COLOR", "COLORTERM", "TEXTUAL", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    # planning starts a process, which tests of other things need not wait for
    monkeypatch.setattr("vflow.tui.planning.Planner.live", False)


def text_of(app):
    """Return the screen as plain text, without trailing blanks."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips).rstrip() + "\n"


@pytest.fixture
def same_screen(request):
    """Compare an app's screen with `screens/NAME.txt` beside the test; see REWRITE."""
    folder = Path(request.path).parent / "screens"

    def compare(app, name):
        path, shown = folder / f"{name}.txt", text_of(app)
        if os.environ.get(REWRITE):
            path.parent.mkdir(exist_ok=True)
            path.write_text(shown, encoding="utf-8")
        assert path.is_file(), f"no kept screen {path.name}; look at this one, then keep it with {REWRITE}=1:\n{shown}"
        assert shown == path.read_text(encoding="utf-8")

    return compare


# --- runs and stores of torch-free toy graphs ------------------------------------------------------------------------


class TillWord(Value):
    text: str


class TillText(Artifact):
    blob: Blob

    def plain_files(self):
        yield "text.txt", self.blob


class TillWords(Node):
    """A light source of words."""

    light = True
    words: tuple[str, ...]

    def run(self, context: Context) -> Items[TillWord]:
        return Items(Item(word, TillWord(text=word)) for word in self.words)


class TillCarve(Node):
    """Per item: a text file for each word."""

    times: int = 1
    tool: str = placement("knife")

    def run(self, context: Context, words: Items[TillWord]) -> Iterator[TillText]:
        for word in words:
            if word.text == "fail":
                raise Failure("the knife broke", "take another")
            yield TillText(blob=context.put((word.text * self.times).encode(), ".txt"))


class TillWalk(Node):
    """Like a training: goes `steps` far with a loss, and keeps its state in the work folder."""

    steps: int = horizon(3)
    start: float = 1.0

    def run(self, context: Context, texts: Items[TillText]) -> TillText:
        for step in range(1, self.steps + 1):
            context.progress(step, self.steps, "step")
            context.metrics(step, {"train/loss": self.start / step, "train/lr": 0.1})
        (context.work / "state.json").write_text(json.dumps(self.steps))
        return TillText(blob=context.put(f"walked {self.steps} from {self.start}".encode(), ".txt"))


@pytest.fixture
def toy_run(tmp_path, monkeypatch, capfd):
    """Run a graph of toy nodes in process, in a folder of its own; returns the run's folder."""
    from vflow.engine.cli import main

    monkeypatch.chdir(tmp_path)

    def run(name="g", words=("one", "two"), steps=3, start=1.0, times=1, profile=None, out=None):
        text = (
            f"vflow: 1\nname: {name}\nparams: {{steps: {steps}}}\nnodes:\n"
            f"  words: {{type: TillWords, words: [{', '.join(words)}]}}\n"
            f"  carve: {{type: TillCarve, inputs: {{words: words}}, times: {times}}}\n"
            f"  walk: {{type: TillWalk, inputs: {{texts: carve}}, steps: '${{steps}}', start: {start}}}\n"
            "outputs: {path: walk, texts: carve}\nprofiles: {tiny: {params: {steps: 2}}}\n"
        )
        path, out = tmp_path / f"{name}.yaml", tmp_path / "runs" / (out or f"{name}-{len(os.listdir(tmp_path))}")
        path.write_text(text)
        number = 1
        while out.exists():
            number += 1
            out = out.with_name(f"{out.name}-{number}")
        main(["run", path.name, "--out", str(out), *(["--profile", profile] if profile else [])])
        capfd.readouterr()
        return out

    return run
