"""What importing costs, looked at in fresh processes: declarations stay light, and dependencies point one way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / ".typing")}
HEAVY = ("torch", "diffusers", "transformers", "accelerate", "peft", "av", "numpy", "torchvision", "safetensors.torch")
LATE = ("huggingface_hub", "tensorboard", "textual", "networkx", "diskcache", "rich")


def modules_after(code):
    """Return the modules that a fresh process holds after running some code."""
    program = f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules_of(package):
    """Return the dotted names of all modules of a package of the tree."""
    names = (path.relative_to(ROOT).with_suffix("") for path in sorted((ROOT / package).rglob("*.py")))
    return [f"vflow.{'.'.join(name.parts).removesuffix('.__init__')}" for name in names]


def importing(names):
    return "\n".join(f"import {name}" for name in names if not name.endswith("__main__"))


@pytest.fixture(scope="module")
def of_engine():
    return modules_after(importing(modules_of("engine")))


@pytest.fixture(scope="module")
def of_declarations():
    families = "import vflow.nodes.families as f; f.families()"
    return modules_after(f"import vflow.nodes\nassert vflow.nodes.declarations()\n{families}")


@pytest.mark.parametrize("module", HEAVY)
def test_the_engine_imports_nothing_heavy(of_engine, module):
    assert module not in of_engine


def test_the_engine_knows_neither_nodes_nor_the_terminal_ui(of_engine):
    assert not [name for name in of_engine if name.startswith(("vflow.nodes", "vflow.tui"))]


@pytest.mark.parametrize("module", [*HEAVY, *LATE])
def test_declarations_import_nothing_heavy(of_declarations, module):
    assert module not in of_declarations


def test_nodes_do_not_know_the_terminal_ui(of_declarations):
    assert not [name for name in of_declarations if name.startswith("vflow.tui")]


@pytest.mark.parametrize("package", ["engine", "nodes", "tui"])
def test_no_module_names_one_that_it_must_not_know(package):
    forbidden = {"engine": ("vflow.nodes", "vflow.tui"), "nodes": ("vflow.tui",), "tui": ("vflow.nodes",)}[package]
    for path in sorted((ROOT / package).rglob("*.py")):
        lines = path.read_text().splitlines()
        imports = [line for line in lines if line.strip().startswith(("import ", "from "))]
        assert not [line for line in imports for name in forbidden if name in line], path


def test_every_module_that_declares_nodes_is_found():
    declared = set()
    for path in sorted((ROOT / "nodes").rglob("*.py")):
        if any(line.startswith("class ") and "(Node)" in line for line in path.read_text().splitlines()):
            declared.add(f"vflow.{'.'.join(path.relative_to(ROOT).with_suffix('').parts)}")
    assert declared <= modules_after("import vflow.nodes\nvflow.nodes.declarations()")
