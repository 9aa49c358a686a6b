"""`vflow edit` in a real (pseudo) terminal: start until ready, how soon keys are answered while plans are made, memory.

    python benchmarks/ui_edit.py [NODES] [RUNS]

Bounds that the project set itself: ready in 0.6 s, a key answered in 50 ms on a graph of 200 nodes, less than 200 MB.
A key counts as answered when the first byte of what it changes comes from the terminal. With other work on the machine
the figures say little: its load is printed too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from measure import VFLOW

COLUMNS, ROWS = 160, 48
_QUIET = 0.03  # seconds without output after which a screen is taken for drawn
_KEYS = ["j", "j", "l", "h", "k", "j", "j", "\x1b[C", "\x1b[B", "k"]


def many(nodes: int) -> str:
    """A graph of miniatures: one data set, and of everything behind it as many as there is room for."""
    lines = ["vflow: 1", "name: many", "params:", '  model: "tiny://ltx2"', "nodes:"]

    def node(name: str, kind: str, *more: str, **inputs: str) -> None:
        links = ", ".join(f"{port}: {link}" for port, link in inputs.items())
        lines.extend([f"  {name}:", f"    type: {kind}", *([f"    inputs: {{{links}}}"] if links else [])])
        lines.extend(f"    {setting}" for setting in more)

    for part in ("Transformer", "VAE", "TextEncoder"):
        node(
            {"TextEncoder": "text_encoder"}.get(part, part.lower()), f"Load{part}", "model: ${model}", "dtype: float32"
        )
    node("clips", "BucketVideos", "source: sample://lesson?clips=12", "resolution: 64", "frames: 17", vae="vae")
    node("captions", "EncodeText", text_encoder="text_encoder", captions="clips.captions")
    node("latents", "EncodeVideo", vae="vae", clips="clips.clips")
    node("texts", "Prompts", "prompts: [a red circle]", text_encoder="text_encoder")
    node("prompts", "EncodeText", text_encoder="text_encoder", captions="texts")
    for n in range((nodes - 8) // 4):
        node(f"lora_{n}", "ApplyLoRA", f"rank: {4 + n}", model="transformer")
        node(
            f"sampler_{n}",
            "Sampler",
            "resolution: 64x64",
            "frames: 17",
            f"steps: {4 + n}",
            vae="vae",
            prompts="prompts",
        )
        given = {"transformer": f"lora_{n}", "latents": "latents", "captions": "captions", "sampler": f"sampler_{n}"}
        node(f"train_{n}", "TrainLoop", "steps: 20", "precision: fp32", f"seed: {n}", **given)
        node(f"validate_{n}", "Validate", transformer=f"lora_{n}", sampler=f"sampler_{n}", adapter=f"train_{n}.adapter")
    return "\n".join(lines) + "\n"


class Terminal:
    """A process in a terminal of its own. `seen` is all that it wrote."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self.began = time.perf_counter()
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execve(words[0], words, environment)
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.seen = b""

    def read(self, longest: float) -> bytes:
        """Return what comes next; nothing where nothing comes in this many seconds."""
        if not select.select([self.file], [], [], longest)[0]:
            return b""
        try:
            found = os.read(self.file, 1 << 16)
        except OSError:
            return b""
        self.seen += found
        return found

    def until(self, wanted: str, longest: float = 30.0) -> float:
        """Read until a text is there; return seconds since the start."""
        end = time.perf_counter() + longest
        while wanted not in re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", self.seen).decode(errors="replace"):
            if time.perf_counter() > end:
                raise SystemExit(f"{wanted!r} did not appear")
            self.read(0.05)
        return time.perf_counter() - self.began

    def settle(self, quiet: float = _QUIET) -> None:
        """Read until nothing more comes."""
        while self.read(quiet):
            pass

    def answer(self, key: str) -> float:
        """Press a key; return milliseconds until the screen begins to change."""
        self.settle()
        pressed = time.perf_counter()
        os.write(self.file, key.encode())
        return (time.perf_counter() - pressed) * 1e3 if self.read(2.0) else float("nan")

    def memory(self) -> tuple[float, float]:
        """Return MB (10^6 bytes) in use by the process, and by those that it started."""
        own = _resident(self.pid)
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return own, sum(_resident(int(child)) for child in children)

    def end(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.file)


def _resident(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


@contextlib.contextmanager
def editing(path: Path, home: Path) -> Iterator[Terminal]:
    """Open a graph in the UI."""
    # a user's Python keeps its bytecode
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"VFLOW_HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "TERM": "xterm-256color"}
    environment |= {"COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
    terminal = Terminal([VFLOW, "edit", str(path)], environment)
    try:
        yield terminal
    finally:
        terminal.end()


def keys(terminal: Terminal, rounds: int, *, planning: bool) -> list[float]:
    """Press keys, with an edit before each round where plans are to be made; return milliseconds."""
    found = []
    for _ in range(rounds):
        if planning:
            terminal.answer("o")
            time.sleep(0.3)
        for key in _KEYS:
            found.append(terminal.answer(key))
            time.sleep(0.02)
    return [one for one in found if one == one]


def said(found: list[float]) -> str:
    """Return median, 95th percentile and maximum in words."""
    ordered = sorted(found)
    at = ordered[int(0.95 * (len(ordered) - 1))]
    middle = statistics.median(ordered)
    return f"p50 {middle:5.1f} ms   p95 {at:5.1f} ms   most {ordered[-1]:5.1f} ms   ({len(ordered)} keys)"


def main() -> None:
    nodes, runs = (int(word) for word in [*sys.argv[1:], "200", "5"][:2])
    with tempfile.TemporaryDirectory() as folder:
        path, home = Path(folder) / "many.yaml", Path(folder) / "home"
        path.write_text(many(nodes))
        starts = []
        for _ in range(runs + 1):
            with editing(path, home) as terminal:
                starts.append(terminal.until("^s Save"))
        print(f"{nodes} nodes, load {os.getloadavg()[0]:.1f}")
        middle, least = statistics.median(starts[1:]), min(starts[1:])
        print(f"ready     median {middle:.2f} s   least {least:.2f} s   (first {starts[0]:.2f} s)")
        with editing(path, home) as terminal:
            terminal.until("^s Save")
            print(f"planned   {terminal.until('offline, as far'):.2f} s after the start, cold")
            terminal.settle(0.5)
            print(f"keys      {said(keys(terminal, runs, planning=False))}")
            print(f"  planning {said(keys(terminal, runs, planning=True))}")
            own, planner = terminal.memory()
            print(f"memory    {own:.0f} MB, and {planner:.0f} MB for the process that plans")


if __name__ == "__main__":
    main()
