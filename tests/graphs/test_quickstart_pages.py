"""Every command on a quickstart page is one: it parses, and its graph has these profiles and parameters."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from vflow.engine.cli import COMMANDS
from vflow.engine.load import load, shipped_graphs
from vflow.engine.problems import errors
from vflow.nodes.families import families

PAGES = sorted((Path(__file__).parents[2] / "docs/quickstarts").glob("*.md"))


def commands():
    for page in PAGES:
        blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        made = ""
        for line in "".join(blocks).splitlines():
            if line.startswith("vflow init"):
                made = shlex.split(line)[2]
            if line.startswith("vflow "):
                yield pytest.param(line, made, id=f"{page.stem}: {line}")


def test_every_family_has_a_page():
    assert [page.stem for page in PAGES] == sorted(families(third_party=False))


@pytest.mark.parametrize(("line", "made"), list(commands()))
def test_a_command_is_one_and_its_graph_takes_it(line, made):
    _, command, *words = shlex.split(line)
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[command][0]).add_arguments(parser)
    arguments = parser.parse_args(words)
    if command == "init":
        assert words[0] in shipped_graphs()
        return
    graph = made if arguments.graph == "my_lora.yaml" else arguments.graph  # a copy, made by the line before
    assert graph in shipped_graphs()
    found = load(graph, arguments.profile or (), arguments.set or ())
    assert not errors(found.problems), found.problems


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_that_are_written_on_a_page_are_those_of_the_graph_s_nodes(page):
    """Advice such as `offloaded: {disabled: false}` names a node and a setting that are there."""
    text = page.read_text(encoding="utf-8")
    name = re.search(r"vflow init (\w+)", text)[1]
    bound = load(name).bound
    for node, setting in re.findall(r"`(\w+): \{(\w+): ", text):
        if node in bound:
            assert setting == "disabled" or setting in bound[node].type.model_fields
        else:
            assert node in ("options", "optimizer")
    for setting, nodes in re.findall(r"`(\w+): [^`{]+`(?: on| of) ((?:`\w+`(?:, | and )?)+)", text):
        for node in re.findall(r"`(\w+)`", nodes):
            assert node in bound, node
            assert setting in bound[node].type.model_fields or setting in bound[node].type.ports
