"""Graph files that nobody would write, handed to `vflow check`: run with a number of them and a seed, or with a name.

The number asks for so many drawn ones, a name for one of `HUGE`, as large as a file may be. Prints one JSON line: how
many there were, the peak of the process's memory in MB, the slowest one's seconds. It fails at
the first file that ends in anything but an exit code of 0 or 2, that takes longer than `SECONDS`, or whose resolved
form does not load to the same graph.
"""

import io
import json
import random
import resource
import signal
import string
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from vflow.engine.cli import main
from vflow.engine.graph import flow
from vflow.engine.load import load, shipped_graphs
from vflow.engine.problems import errors
from vflow.engine.registry import load_node_types

SECONDS = 10

TYPES = sorted(load_node_types())
SHIPPED = sorted(shipped_graphs().values())
SETTINGS = sorted({name for cls in load_node_types().values() for name in (*cls.model_fields, *cls.ports)})
KEYS = ["vflow", "name", "about", "extends", "params", "profiles", "nodes", "outputs", "type", "inputs", "disabled"]
KEYS += ["default", "min", "max", "choices", "help", "<<", "a", "b", "c", *SETTINGS]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [*TYPES, "a", "b", "a.b", "c.items", "${a}", "x ${b} y", "$${", "${", "g.yaml", "../x", "\0", "1e-4"]
    )
)
NAMES = st.sampled_from(KEYS) | st.text(max_size=8)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=30
)
SPECS = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES) | SCALARS},
    optional={
        "inputs": st.dictionaries(st.sampled_from(SETTINGS), SCALARS | st.lists(SCALARS, max_size=3), max_size=4)
        | TREES,
        "disabled": st.booleans() | SCALARS,
        **dict.fromkeys(SETTINGS[::3], TREES),
    },
)
GRAPHS = st.fixed_dictionaries(
    {"vflow": st.just(1), "nodes": st.dictionaries(st.sampled_from("abcde"), SPECS | TREES, max_size=4)},
    optional={
        "params": st.dictionaries(st.sampled_from("abcde"), TREES, max_size=4) | TREES,
        "profiles": st.dictionaries(NAMES, TREES, max_size=3) | TREES,
        "outputs": st.dictionaries(NAMES, SCALARS, max_size=3) | TREES,
        "name": SCALARS,
        "extends": SCALARS,
    },
)


def written(data):
    """Return plain data as a text in YAML; what YAML has no form for stays as it is."""
    return flow(data).encode("utf-8", "surrogatepass")


PARTS = [
    "[",
    "{",
    "]",
    "}",
    ": ",
    "- ",
    "&a ",
    "*a",
    "!!python/name:os.system ",
    "!x ",
    "|\n",
    ">",
    "'",
    '"',
    "#",
    "\t",
]
PARTS += [
    "${",
    "${rank}",
    "$${",
    "~",
    "? ",
    "%YAML 9\n",
    "---\n",
    "\n",
    "  ",
    ".nan",
    "1e999",
    "0x",
    "9" * 400,
    "<<: *a",
]
PARTS += ["\0", "\x85", "\u2028", "\ufeff", "é", "nodes:", "extends: g.yaml\n", "null", "[" * 60, "a: &a [*a]\n"]


@st.composite
def mutations(draw):
    """Draw a shipped graph with up to a dozen changes: letters, lines, parts of other lines, whole values."""
    lines = draw(st.sampled_from(SHIPPED)).splitlines(keepends=True)
    rng = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(rng.randint(1, 12)):
        at = rng.randrange(len(lines))
        line = lines[at]
        cut = rng.randint(0, len(line))
        kind = rng.randrange(9)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(rng.randrange(len(lines) + 1), line)
        elif kind == 2:
            lines[at] = line[:cut] + rng.choice(PARTS) + line[cut:]
        elif kind == 3:
            lines[at] = line[:cut] + line[cut + rng.randint(1, 5) :]
        elif kind == 4:
            lines[at] = line.partition(":")[0] + ": " + rng.choice([rng.choice(TYPES), rng.choice(KEYS), *PARTS]) + "\n"
        elif kind == 5:
            lines[at] = " " * rng.randint(0, 9) + line.lstrip(" ")
        elif kind == 6:
            other = rng.choice(lines)
            lines[at] = line[:cut] + other[rng.randint(0, len(other)) :]
        elif kind == 7:
            lines[at] = line[:cut] + "".join(rng.choices(string.printable, k=rng.randint(1, 6))) + line[cut:]
        else:
            lines[at] = f"{rng.choice(KEYS)}: {rng.choice(PARTS)}\n"
        lines = lines or ["\n"]
    data = "".join(lines).encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.randbytes(rng.randint(1, 4)) + data[at:]
    return data[: rng.randint(0, len(data))] if rng.random() < 0.1 else data


@st.composite
def large(draw):
    """Draw a text that repeats something very often."""
    part = draw(st.sampled_from([*PARTS, "- a\n", "{a: ", "a: 1\n", "[[], ", "x${a}", "&b [*b, *b]", "a,"]))
    count = draw(st.sampled_from([1_000, 20_000]))
    many = "".join(f"  a{n}: {{type: {draw(st.sampled_from(TYPES))}}}\n" for n in range(200))
    head = draw(
        st.sampled_from(["", "vflow: 1\nnodes:\n", "vflow: 1\nparams: {a: 1}\nnodes: {a: {type: Prompts, prompts: ["])
    )
    return (head + draw(st.sampled_from([part * count, many, many + part * count]))).encode()


FILES = (
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | TREES.map(written)
    | GRAPHS.map(written)
    | mutations()
    | mutations()
)


def check(*words):
    """Call `vflow check` and return its exit code; the process ends when it takes too long."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with redirect_stdout(out), redirect_stderr(err):
        return main(["check", *words])


def look(path, data):
    """Check one file as a user would, and that what loads without an error keeps its form when it is written out."""
    path.write_bytes(data)
    signal.alarm(SECONDS)
    try:
        codes = {check(str(path)), check(str(path), "--profile", "tiny", "--set", "a=[1, x]")}
        loaded = load(path)
        if not errors(loaded.problems):
            path.write_text(loaded.graph.to_text(), encoding="utf-8")
            again = load(path)
            assert not errors(again.problems), again.problems
            assert again.graph == loaded.graph
    finally:
        signal.alarm(0)
    assert codes <= {0, 2}, codes


def peak():
    """Return the most memory that this process ever had, in MB.

    Linux's `ru_maxrss` begins with what the process that started this one had.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1.024 / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def listed(head, line, count, tail=""):
    """Return a text with so many lines, each made of its number."""
    return head + "".join(line.format(n) for n in range(count)) + tail


NODES = "vflow: 1\nnodes:\n"
PROMPTS = NODES + " a:\n  type: Prompts\n  prompts: ["
#: Texts with as many keys, values or letters as a file may have.
HUGE = {
    "parameters": lambda: listed("vflow: 1\nparams:\n", " p{0}: {0}\n", 120_000),
    "choices": lambda: listed("vflow: 1\nparams: {a: {default: 1, choices: [", "{},", 240_000, "]}}"),
    "profiles": lambda: listed("vflow: 1\nprofiles:\n", " p{}: {{}}\n", 120_000),
    "nodes": lambda: listed(NODES, " p{}: {{type: Prompts}}\n", 60_000),
    "nodes that are none": lambda: listed(NODES, " p{0}: {0}\n", 120_000),
    "a cycle": lambda: listed(NODES + " p0: {type: EncodeText, inputs: {captions: p9999}}\n", _LINKED, 10_000),
    "unknown settings": lambda: listed(NODES + " a:\n  type: Prompts\n", "  x{0}: 1\n", 120_000),
    "wrong values": lambda: listed(PROMPTS, "{},", 240_000, "]"),
    "links": lambda: NODES + " b:\n  type: EncodeText\n  inputs: {captions: [" + "b," * 240_000 + "]}",
    "outputs": lambda: listed("vflow: 1\noutputs:\n", " p{0}: {0}\n", 120_000),
    "keys that stand twice": lambda: "vflow: 1\n" + "a: 1\n" * 120_000,
    "tags": lambda: "vflow: 1\nx: [" + "!x 1," * 240_000 + "]",
    "filled parameters": lambda: "vflow: 1\nparams: {a: 1}\n" + PROMPTS[9:] + "'" + "${a}" * 900_000 + "']",
    "long parameters": lambda: f"vflow: 1\nparams: {{a: {'x' * 1000}}}\n" + PROMPTS[9:] + "'${a}'," * 200_000 + "]",
    "open parameters": lambda: PROMPTS + "'" + "${" * 1_900_000 + "']",
    "one key": lambda: f"vflow: 1\n? {'x' * ((4 << 20) - 30)}\n: 1",
}
_LINKED = (
    " q{0}: {{type: EncodeText, inputs: {{captions: p{0}}}}}\n p{0}: {{type: EncodeText, inputs: {{captions: q{0}}}}}\n"
)


def look_at_huge(name):
    """Look at one of `HUGE`, which takes its time but no more memory than others."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g.yaml"
        path.write_text(HUGE[name]())
        signal.alarm(300)
        assert check(str(path)) in (0, 2)
    return {"files": 1, "peak_mb": round(peak()), "slowest_seconds": round(time.monotonic() - began, 2)}


def run(count, number):
    """Look at so many drawn files; a hundredth of them are large."""
    seen, slowest = 0, 0.0

    def case(data):
        nonlocal seen, slowest
        began = time.monotonic()
        look(path, data)
        seen, slowest = seen + 1, max(slowest, time.monotonic() - began)

    quick = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
    phases = (Phase.generate, Phase.shrink)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g.yaml"
        seed(number)(settings(max_examples=count, phases=phases, **quick)(given(FILES)(case)))()
        seed(number)(settings(max_examples=max(1, count // 100), phases=phases, **quick)(given(large())(case)))()
    return {"files": seen, "peak_mb": round(peak()), "slowest_seconds": round(slowest, 2)}


if __name__ == "__main__":
    what = sys.argv[1]
    told = look_at_huge(what) if what in HUGE else run(int(what), int(sys.argv[2]))
    sys.stdout.write(json.dumps(told) + "\n")
