"""`vflow config`: the user's own settings."""

from __future__ import annotations

import argparse
from typing import Any

from vflow.engine.cli import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    choices = parser.add_subparsers(dest="action", metavar="ACTION")
    choices.add_parser("list", help="every setting, its value and where that comes from (also without an action)")
    for name, line in (("get", "print the value of a setting"), ("unset", "go back to the default")):
        choices.add_parser(name, help=line).add_argument("name", metavar="NAME")
    sets = choices.add_parser("set", help="write a setting into the file; its comments stay")
    sets.add_argument("name", metavar="NAME")
    sets.add_argument(
        "value", metavar="VALUE", nargs="*", help="several for a list or for keys (ACTION=KEY), none for an empty one"
    )


def call(arguments: argparse.Namespace) -> int:
    """Call the action."""
    return {"get": _get, "set": _set, "unset": _unset}.get(arguments.action, _list)(arguments)


def _list(_arguments: argparse.Namespace) -> int:
    from vflow.engine import config
    from vflow.engine.cli.text import out

    for setting in config.settings():
        out(f"{setting.name}: {_text(setting.value)}  ({setting.source})")
        out(f"    {setting.about}")
    return DONE


def _get(arguments: argparse.Namespace) -> int:
    from vflow.engine import config
    from vflow.engine.cli.text import out
    from vflow.engine.problems import GraphError, suggest

    found = {setting.name: setting for setting in config.settings()}
    if arguments.name not in found:
        raise GraphError(f"there is no setting {arguments.name!r}", suggest(arguments.name, found))
    out(_text(found[arguments.name].value))
    return DONE


def _set(arguments: argparse.Namespace) -> int:
    from vflow.engine import config
    from vflow.engine.cli.text import say

    config.assign(arguments.name, arguments.value)
    say(f"written to {config.config_file()}")
    return DONE


def _unset(arguments: argparse.Namespace) -> int:
    from vflow.engine import config
    from vflow.engine.cli.text import say

    if config.unset(arguments.name):
        say(f"taken out of {config.config_file()}")
    else:
        say(f"{arguments.name} is not set there: {config.config_file()}")
    return DONE


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        value = tuple(f"{name}={key}" for name, key in value.items())
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)
