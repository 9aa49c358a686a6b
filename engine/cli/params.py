"""`--help-params`: the parameters of a graph, what they may be, and which settings take them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from vflow.engine.cli import DONE

if TYPE_CHECKING:
    from vflow.engine.parameters import Parameter

_WIDTH = 100


def help_params(arguments: argparse.Namespace) -> int:
    """Print the parameters of a graph, with the profiles and values that were chosen. Nothing else is looked at.

    Raises:
        GraphError: the file cannot be read, or the choice does not fit it.
    """
    from vflow.engine.cli.text import out
    from vflow.engine.load import load
    from vflow.engine.problems import GraphError, errors

    loaded = load(arguments.graph, arguments.profile or (), arguments.set or ())
    wrong = errors(loaded.problems)
    if not loaded.graph.name or any(problem.file.startswith("--") for problem in wrong):
        raise GraphError(wrong)
    parameters = loaded.graph.parameters.values()
    if arguments.json:
        out(json.dumps([parameter.to_data() for parameter in parameters], indent=1))
        return DONE
    out(f"parameters of {loaded.graph.name}" + ("" if parameters else ": none"))
    for line in lines(parameters):
        out(line)
    return DONE


def lines(parameters: Iterable[Parameter]) -> Iterator[str]:
    """Yield the lines that describe parameters."""
    from vflow.engine.cli.text import table
    from vflow.engine.problems import printable

    parameters = list(parameters)
    heads = table([(one.name, _value(one), printable(one.words)) for one in parameters], "  ")
    for parameter, head in zip(parameters, heads, strict=True):
        yield from ("", head)
        yield from (f"      {line}" for line in wrap(printable(parameter.help), _WIDTH))
        if parameter.used_by:
            users = ", ".join(where.removeprefix("nodes.") for where in dict.fromkeys(parameter.used_by))
            yield from wrap(f"used by {users}", _WIDTH, initial_indent="      ", subsequent_indent="        ")


def _value(parameter: Parameter) -> str:
    if not parameter.is_given:
        return "to be given"
    text = _shown(parameter.value)
    if not parameter.has_default or parameter.value == parameter.default:
        return text
    return f"{text} (default {_shown(parameter.default)})"


def _shown(value: Any) -> str:
    from vflow.engine.problems import printable

    return printable(value if isinstance(value, str) and value else json.dumps(value), 60)
