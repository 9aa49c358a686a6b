"""What drawing a graph costs the UI: random layered graphs of 17 to 200 nodes. Medians, in milliseconds.

    python benchmarks/ui_graph.py

Bounds are those that the project set itself: a graph of 200 nodes is drawn in 40 ms and a key answered in 50 ms, which
is counted in time of the process.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Callable
from statistics import median

from textual.app import App, ComposeResult

from vflow.engine.outline import NodeView, Outline, PortView, Wire
from vflow.tui.drawing import Zoom, boxes, layout, rails
from vflow.tui.glyphs import UNICODE, Mark
from vflow.tui.graph_view import GraphView

SIZES = (17, 30, 120, 200)
KEYS = ("down", "up", "right", "left", "pagedown", "pageup", "space", "shift+right", "end", "home")


def main() -> None:
    print(f"{'nodes':>6} {'wires':>6} {'first boxes':>12} {'selection':>10} {'rails':>7}   keys on rails, on boxes")
    for count in SIZES:
        graph = random_graph(count)
        marks = {name: Mark("to run", "24 items") for name in graph.nodes}
        names = list(graph.nodes)
        first, moved, rows = [], [], []
        for turn in range(15):
            layout.forget()
            first.append(took(boxes, graph, marks, None, UNICODE, Zoom.TYPES))
            chosen = names[turn * 7 % count]
            moved.append(took(boxes, graph, marks, chosen, UNICODE, Zoom.TYPES))
            rows.append(took(rails, graph, marks, chosen, UNICODE, 80))
        keys = [asyncio.run(answered(graph, marks, view)) for view in ("rails", "boxes")]
        figures = f"{median(first):12.1f} {median(moved):10.1f} {median(rows):7.1f}"
        said = ", ".join(f"{median(one):.1f} (most {max(one):.1f})" for one in keys)
        print(f"{count:6} {len(graph.wires):6} {figures}   {said}", flush=True)


def random_graph(count: int, near: int = 12) -> Outline:
    """Mostly short wires, some that lead far, two outputs a node."""
    chance = random.Random(count)
    names = [f"node_{index}" for index in range(count)]
    wires: dict[Wire, None] = {}
    for index in range(4, count):
        for port in range(chance.choice([0, 1, 1, 2, 2, 3])):
            lowest = max(0, index - near) if chance.random() < 0.85 else 0
            source = names[chance.randrange(lowest, index)]
            wires[Wire(source, f"o{chance.randint(0, 1)}", names[index], f"i{port}")] = None
    views = {}
    for name in names:
        inputs = tuple(PortView(w.port, "Latent", links=(f"{w.source}.{w.output}",)) for w in wires if w.target == name)
        outputs = dict.fromkeys(w.output for w in wires if w.source == name)
        views[name] = NodeView(name, "EncodeVideo", True, inputs=inputs, outputs=tuple(map(PortView, outputs)))
    return Outline("random", views, tuple(wires), {})


async def answered(graph: Outline, marks: dict[str, Mark], view: str) -> list[float]:
    """Return the milliseconds of work after each key until the screen is as it should be."""

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            yield GraphView()

        def on_mount(self) -> None:
            self.query_one(GraphView).show(graph, marks)
            self.query_one(GraphView).view = view
            self.query_one(GraphView).focus()

    app = Shown()
    found = []
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("home")
        gc.collect()
        gc.freeze()  # as the application does: a full collection would take longer than a key
        for _ in range(5):
            for key in KEYS:
                start = time.process_time()
                await pilot.press(key)
                found.append((time.process_time() - start) * 1000)
    return found


def took(work: Callable[..., object], *given: object) -> float:
    start = time.perf_counter()
    work(*given)
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
