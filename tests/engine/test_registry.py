import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SEARCH = str(Path(__file__).parents[2] / ".typing")

NODES = """
from vflow.engine.node import Node
from vflow.engine.values import Value

class {name}Value(Value):
    x: int = 0

class {name}(Node):
    def run(self, context) -> {name}Value: ...

def declarations():
    pass
"""


@pytest.fixture
def ask(tmp_path):
    """Install packages of one module each (name: source, entry points), then run code in a fresh process."""

    def _install(name, source, points):
        (tmp_path / f"{name}.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)

    def _ask(code, **packages):
        for name, (source, points) in packages.items():
            _install(name, source, points)
        path = os.pathsep.join([SEARCH, str(tmp_path)])
        code = f"import json, sys\nfrom vflow.engine.registry import *\n{code}"
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(run.stdout)

    return _ask


def test_node_types_of_other_packages_are_found_by_a_function_or_a_module(ask):
    found = ask(
        "print(json.dumps([sorted(load_node_types()), [str(p) for p in registry_problems() if 'pack_' in str(p)]]))",
        pack_one=(NODES.format(name="OneForeign"), "[vflow.nodes]\none = pack_one:declarations\n"),
        pack_two=(NODES.format(name="TwoForeign"), "[vflow.nodes]\ntwo = pack_two\n"),
    )
    assert {"OneForeign", "TwoForeign"} <= set(found[0])
    assert found[1] == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("raise RuntimeError('not today')", "RuntimeError: not today"),
        ("def declarations(): raise ValueError('later')", "ValueError: later"),
        ("", "AttributeError"),
    ],
)
def test_a_package_that_does_not_load_is_a_warning_and_the_others_are_there(ask, source, words):
    types, problems = ask(
        "types = load_node_types()\n"
        "print(json.dumps([sorted(types), [[p.severity, str(p)] for p in registry_problems() if 'pack_' in str(p)]]))",
        pack_bad=(source, "[vflow.nodes]\nbad = pack_bad:declarations\n"),
        pack_good=(NODES.format(name="GoodForeign"), "[vflow.nodes]\ngood = pack_good:declarations\n"),
    )
    ((severity, text),) = problems
    assert (severity, words in text, "package pack_bad" in text) == ("warning", True, True)
    assert "GoodForeign" in types


def test_a_second_type_of_a_name_does_not_take_the_place_of_the_first(ask):
    module, problems = ask(
        "module = load_node_types()['SameForeign'].__module__\n"
        "print(json.dumps([module, [str(p) for p in registry_problems() if 'pack_' in str(p)]]))",
        pack_a=(NODES.format(name="SameForeign"), "[vflow.nodes]\na = pack_a\n"),
        pack_b=(NODES.format(name="SameForeign"), "[vflow.nodes]\nb = pack_b\n"),
    )
    assert module == "pack_a"
    assert problems == ["package pack_b, pack_b: a second node type 'SameForeign' is left out; pack_a has one already"]


def test_an_entry_point_is_imported_only_when_it_is_asked_for(ask):
    before, named = ask(
        "found = usable('vflow.tests_only')\n"
        "before = 'pack_hook' in sys.modules or 'pydantic' in sys.modules\n"
        "print(json.dumps([before, list(found)]))",
        pack_hook=("answer = 42", "[vflow.tests_only]\nnamed = pack_hook:answer\n"),
    )
    assert (before, named) == (False, [["named", 42]])


def test_a_group_that_nobody_offers_is_empty(ask):
    assert ask("print(json.dumps(list(usable('vflow.nothing_here'))))") == []


BROKEN = "import no_such_module_anywhere"
ONE_COMPLAINT = "print(json.dumps([found, [str(p) for p in complaints()], [str(p) for p in complaints()]]))"


def test_what_does_not_load_or_fails_is_one_warning_for_its_package(ask):
    found, told, again = ask(
        "found = [*answers('vflow.a', 1), *answers('vflow.b', 1), *answers('vflow.a', 2)]\n" + ONE_COMPLAINT,
        pack_bad=(BROKEN, "[vflow.a]\nx = pack_bad:one\n[vflow.b]\ny = pack_bad:two\n"),
        pack_good=("def twice(x): yield 2 * x", "[vflow.a]\nz = pack_good:twice\n"),
        pack_odd=("def fail(x): yield x / 0", "[vflow.b]\nz = pack_odd:fail\n"),
    )
    assert (found, again) == ([[2], [4]], [])
    assert [text.partition(";")[0] for text in told] == [
        "package pack_bad, pack_bad:one: its part of vflow.a cannot be loaded: "
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        "package pack_odd, pack_odd:fail: its part of vflow.b failed: ZeroDivisionError: division by zero",
    ]


def test_a_package_whose_nodes_were_complained_of_is_not_complained_of_again(ask):
    found, told, _ = ask(
        "found = [str(p) for p in registry_problems() if 'pack_' in str(p)]\nlist(answers('vflow.a'))\n"
        + ONE_COMPLAINT,
        pack_bad=(BROKEN, "[vflow.nodes]\nn = pack_bad\n[vflow.a]\nx = pack_bad:one\n"),
    )
    assert (len(found), told) == (1, [])


OURS = """
from vflow.engine.node import Node
from vflow.engine.values import Value

class {value}(Value):
    x: int = 0

class {node}(Node):
    def run(self, context) -> {value}: ...
"""


@pytest.mark.parametrize("imported", ["", "import pack_other\n"])
def test_a_node_type_of_the_name_of_ours_is_refused_whenever_it_was_imported(ask, imported):
    module, problems = ask(
        imported + "module = load_node_types()['TrainLoop'].__module__\n"
        "print(json.dumps([module, [str(p) for p in registry_problems() if 'pack_' in str(p)]]))",
        pack_other=(OURS.format(value="MyThing", node="TrainLoop"), "[vflow.nodes]\nx = pack_other\n"),
    )
    assert module.startswith("vflow.nodes.")
    assert len(problems) == 1
    assert f"a second node type 'TrainLoop' is left out; {module} has one already" in problems[0]
    assert problems[0].startswith("package pack_other, pack_other: ")


@pytest.mark.parametrize("imported", ["", "import pack_other\n"])
def test_nodes_whose_values_have_the_name_of_ours_are_refused(ask, imported):
    known, module, problems = ask(
        imported + "from vflow.engine.values import Value\n"
        "known = 'MakesLatents' in load_node_types()\n"
        "module = Value.kinds['Latent'].__module__\n"
        "print(json.dumps([known, module, [str(p) for p in registry_problems() if 'pack_' in str(p)]]))",
        pack_other=(OURS.format(value="Latent", node="MakesLatents"), "[vflow.nodes]\nx = pack_other\n"),
    )
    assert (known, module) == (False, "vflow.nodes.values")
    assert problems == [
        "package pack_other, pack_other: the node type 'MakesLatents', whose values are a second type 'Latent', "
        "is left out; vflow.nodes.values has one already"
    ]


def test_a_second_call_loads_nothing_again(ask):
    source = (
        NODES.format(name="OnceForeign")
        .replace("    pass", "    print('called', file=sys.stderr)\n")
        .replace("\nfrom", "\nimport sys\nfrom", 1)
    )
    count = ask(
        "import io; sys.stderr = io.StringIO()\n"
        "assert load_node_types() is load_node_types()\nregistry_problems()\n"
        "print(json.dumps(sys.stderr.getvalue().count('called')))",
        pack_once=(source, "[vflow.nodes]\nonce = pack_once:declarations\n"),
    )
    assert count == 1
