"""What the engine costs: layered graphs of trivial nodes, long lists of items, folders of files. Medians of five.

    python benchmarks/engine_scale.py [--quick]

Bounds are those that the project set itself; each row prints wall and CPU seconds and peak memory.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from measure import Measured, measure, medians
from toy_graphs import itemised, layered

TOY = [sys.executable, str(Path(__file__).with_name("toy_graphs.py")), "vflow"]


def main() -> None:
    quick = "--quick" in sys.argv
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for nodes, bound in ((10, "0.30 s"), (1000, "0.45 s"), (10_000, "1.2 s, 200 MB")):
            graph = write(place / f"layered-{nodes}.yaml", layered(nodes))
            first = run(graph, place)
            show("8 s" if nodes == 10_000 else "", f"{nodes} nodes, first run", first)
            show(bound, f"{nodes} nodes, all kept", *[medians_of(graph, place, quick)])
        many = 10_000 if quick else 100_000
        graph = write(place / "items.yaml", itemised(many))
        show("", f"{many} items, first run", run(graph, place))
        show("2 s, 400 MB", f"{many} items, all kept", medians_of(graph, place, quick))
        for n in range(1 if quick else 3):
            changed = write(place / "items.yaml", itemised(many, changed=n))
            show("3 s, 400 MB", f"{many} items, one changed", run(changed, place))
        files(place, quick)


def files(place: Path, quick: bool) -> None:
    """A folder of 1,000 files of 1 MB against an empty one."""
    for name, count in (("none", 0), ("thousand", 100 if quick else 1000)):
        (place / name).mkdir()
        for n in range(count):
            (place / name / f"{n:04d}").write_bytes(os.urandom(1 << 20))
        text = (
            f"vflow: 1\nname: {name}\nnodes:\n  files: {{type: Files, folder: {place / name}}}\n"
            "  each: {type: Each, inputs: {words: files}}\n"
        )
        graph = write(place / f"{name}.yaml", text)
        show("", f"{count} files of 1 MB, first run", run(graph, place))
        show("0.15 s over none" if count else "", f"{count} files of 1 MB, unchanged", medians_of(graph, place, quick))


def medians_of(graph: Path, place: Path, quick: bool) -> tuple[float, float, float]:
    return medians(3 if quick else 5, lambda: run(graph, place))


def run(graph: Path, place: Path) -> Measured:
    done = measure([*TOY, "run", str(graph), "--quiet"], {"VFLOW_HOME": str(place / "store")}, place)
    if done.code:
        raise SystemExit(done.err)
    return done


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def show(bound: str, what: str, found: Measured | tuple[float, float, float]) -> None:
    wall, cpu, memory = (found.wall, found.cpu, found.memory) if isinstance(found, Measured) else found
    print(f"{bound:>18} {wall:8.2f} {cpu:8.2f} {memory:6.0f}  {what}", flush=True)


if __name__ == "__main__":
    main()
