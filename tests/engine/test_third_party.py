"""The package of docs/writing-nodes.md, installed as a user would, and packages that are broken or take our names."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = re.compile(r"^`([\w./]+)`[^\n]*\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


def example():
    """Return the files that the page shows, name to text."""
    page = (ROOT / "docs/writing-nodes.md").read_text(encoding="utf-8")
    return dict(FILE.findall(page.partition("## A whole package")[2]))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the page's package with pip, without a network, into a folder of its own; return that."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "vflow_spelling").mkdir()
    (source / "vflow_spelling/__init__.py").touch()
    for name, text in example().items():
        (source / name).write_text(text, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True)
    return target


@pytest.fixture
def vflow(tmp_path):
    """Call the command line in a process of its own, with folders of packages beside this installation's."""
    (tmp_path / "words.json").write_text(json.dumps(["a", "red", "circle", "blue", "square"]))
    (tmp_path / "spelling.yaml").write_text(example()["spelling.yaml"])

    def call(*words, sites=()):
        path = os.pathsep.join([str(ROOT / ".typing"), *map(str, sites), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-m", "vflow.engine", *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "VFLOW_HOME": str(tmp_path / "store"), "COLUMNS": "100"},
            capture_output=True,
            text=True,
        )

    return call


@pytest.fixture
def package(tmp_path):
    """Write an installed package of one module by hand; returns its folder."""

    def write(name, source, points):
        site = tmp_path / f"site_{name}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
        return site

    return write


def test_the_page_shows_every_file_of_its_package():
    assert set(example()) == {
        *("pyproject.toml", "spelling.yaml"),
        *(f"vflow_spelling/{name}.py" for name in ("nodes", "planning", "command")),
    }


def test_a_graph_that_uses_it_checks_plans_runs_and_is_kept(vflow, site, tmp_path):
    def call(*words):
        result = vflow(*words, sites=[site])
        assert (result.returncode, "Traceback" in result.stderr) == (0, False), result.stderr
        return result

    assert "Spell, version 1 (heavy: its results are kept)" in call("nodes", "Spell").stdout
    assert '"LoadDictionary"' in call("schema").stdout
    assert "3 nodes, no errors" in call("check", "spelling.yaml").stdout
    plan = call("plan", "spelling.yaml").stdout
    assert "spelling: spell looks at 2 of 2 captions" in plan
    assert "words.json" in plan.partition("effects:")[2]
    assert "2 results computed" in call("run", "spelling.yaml").stderr
    assert "2 reused" in call("run", "spelling.yaml").stderr
    (tmp_path / "words.json").rename(tmp_path / "others.json")
    moved = (tmp_path / "spelling.yaml").read_text().replace("words.json", "others.json")
    (tmp_path / "spelling.yaml").write_text(moved)
    assert "0 results computed" in call("run", "spelling.yaml").stderr
    (tmp_path / "spelling.yaml").write_text(moved.replace("a blue square", "a blue sqare"))
    assert "1 results computed" in call("run", "spelling.yaml").stderr
    assert call("misspelt", "last").stdout.split() == ["circel", "sqare"]
    assert "misspelt" in call("--help").stdout


def test_its_remedy_is_told_with_the_place_in_the_graph(vflow, site, tmp_path):
    (tmp_path / "words.json").write_text('["red",\ncircle]')
    result = vflow("run", "spelling.yaml", sites=[site])
    assert result.returncode == 1
    told = 'nodes.spell: the dictionary is no JSON in line 2; write a list: ["red", "circle"]'
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_without_the_package_its_nodes_are_unknown_and_the_rest_is_checked(vflow):
    result = vflow("check", "spelling.yaml")
    assert result.returncode == 2
    assert "spelling.yaml:9:11: nodes.dictionary.type: unknown node type 'LoadDictionary'" in result.stderr
    assert "unknown node type 'Spell'" in result.stderr


EVERYTHING = "".join(
    f"[vflow.{group}]\n{name} = bad_pack{attribute}\n"
    for group, name, attribute in (
        ("nodes", "x", ""),
        ("families", "bad", ":FAMILY"),
        ("plan_sections", "x", ":section"),
        ("remedies", "x", ":remedy"),
        ("carriers", "txt", ""),
        ("commands", "badly", ""),
    )
)


def test_a_broken_package_is_one_warning_and_the_rest_works(vflow, site, package, tmp_path):
    sites = [site, package("bad_pack", "import no_such_module_anywhere", EVERYTHING)]
    for words in (("check", "spelling.yaml"), ("plan", "spelling.yaml"), ("run", "spelling.yaml"), ("nodes",)):
        result = vflow(*words, sites=sites)
        assert result.returncode == 0, result.stderr
        assert result.stderr.count("bad_pack") == 2  # its name and its module, in one line
        assert result.stderr.count("warning:") == 1
        assert "No module named 'no_such_module_anywhere'" in result.stderr
    (tmp_path / "words.json").write_text("[")
    failed = vflow("run", "spelling.yaml", sites=sites)
    assert "the dictionary is no JSON" in failed.stderr
    assert failed.stderr.count("warning:") == 1
    command = vflow("badly", sites=sites)
    assert (command.returncode, "Traceback" in command.stderr) == (1, False)
    assert "the command 'badly' (from bad_pack) cannot be loaded: ModuleNotFoundError" in command.stderr
    assert vflow("--help", sites=sites).returncode == 0


def test_a_section_and_a_remedy_that_fail_are_warnings(vflow, site, package, tmp_path):
    source = "def section(session): raise KeyError('x')\ndef remedy(error, step): return 1 / 0\n"
    points = "[vflow.plan_sections]\na = odd_pack:section\n[vflow.remedies]\na = odd_pack:remedy\n"
    sites = [package("odd_pack", source, points), site]
    plan = vflow("plan", "spelling.yaml", sites=sites)
    assert (plan.returncode, "Traceback" in plan.stderr) == (0, False)
    assert "spelling: spell looks at" in plan.stdout
    assert (
        "warning: package odd_pack, odd_pack:section: its part of vflow.plan_sections failed: KeyError" in plan.stderr
    )
    (tmp_path / "words.json").write_text("[")
    run = vflow("run", "spelling.yaml", sites=sites)
    assert (run.returncode, "Traceback" in run.stderr) == (1, False)
    assert "the dictionary is no JSON" in run.stderr
    assert "its part of vflow.remedies failed: ZeroDivisionError" in run.stderr


TAKES_OURS = """
from vflow.engine.node import Node
from vflow.nodes.values import Caption

class Prompts(Node):
    light = True
    def run(self, context) -> Caption:
        return Caption(text="not ours")
"""


def test_a_type_or_command_of_our_name_is_not_taken(vflow, package, tmp_path):
    points = "[vflow.nodes]\nx = same_pack\n[vflow.commands]\nnodes = same_pack\n"
    sites = [package("same_pack", TAKES_OURS, points)]
    (tmp_path / "own.yaml").write_text("vflow: 1\nnodes: {p: {type: Prompts, prompts: [x]}}\n")
    result = vflow("check", "own.yaml", sites=sites)
    assert result.returncode == 0
    told = "a second node type 'Prompts' is left out; vflow.nodes.data.prompts has one already"
    assert f"warning: package same_pack, same_pack: {told}" in result.stderr
    assert "Prompts" in vflow("nodes", sites=sites).stdout
    assert "from same_pack" not in vflow("--help", sites=sites).stdout
