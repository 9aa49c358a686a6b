"""`vflow cache`: what the store holds, and keeping it in order."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from vflow.engine.cli import DONE, FAILED
from vflow.engine.cli.arguments import add_remote, add_store
from vflow.engine.problems import GraphError

if TYPE_CHECKING:
    from vflow.engine.store import Store
    from vflow.engine.store.collect import Taking

_GROUPS = ("graph", "node", "type", "result", "run")
_ORDERS = ("name", "size", "age", "used")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    choices = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_ls(choices.add_parser("ls", help="what the store holds: size, age, last use"))
    show = choices.add_parser("show", help="one result, by the beginning of its key")
    show.add_argument("key", metavar="KEY")
    add_store(show)
    verify = choices.add_parser("verify", help="read every blob and record, and say what is damaged")
    add_store(verify)
    add_remote(verify)
    pin = choices.add_parser("pin", help="keep results whatever happens")
    _add_selection(pin)
    pin.add_argument("--note", default="", metavar="TEXT", help="why, for yourself")
    _add_selection(choices.add_parser("unpin", help="keep them no longer than others"))
    rm = choices.add_parser("rm", help="remove results")
    _add_selection(rm)
    rm.add_argument("--yes", action="store_true", help="do not ask")
    rm.add_argument("--dry-run", action="store_true", help="only say what would go")
    _add_gc(choices.add_parser("gc", help="collect what is not needed, and what was not used for long"))
    sync = choices.add_parser("sync", help="send to the remote what earlier runs could not")
    sync.add_argument("--all", action="store_true", help="send every result of the store")
    add_store(sync)
    add_remote(sync)


def _add_ls(ls: argparse.ArgumentParser) -> None:
    _add_selection(ls)
    ls.add_argument("--by", choices=_GROUPS, default="node", help="a line for each of these (default: node)")
    ls.add_argument(
        "--sort", choices=_ORDERS, default="name", help="largest, newest or last used first (default: name)"
    )
    ls.add_argument("--json", action="store_true", help="the lines as JSON: bytes, and times in seconds since 1970")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", nargs="*", metavar="KEY", help="results, by the beginnings of their keys")
    parser.add_argument("--graph", metavar="NAME", help="results that this graph computed")
    parser.add_argument("--node", metavar="NAME", help="results of this node")
    parser.add_argument("--type", metavar="TYPE", help="results of nodes of this type")
    parser.add_argument("--run", metavar="RUN", help="results that a run used: `last`, its folder, or its id")
    add_store(parser)


def _add_gc(gc: argparse.ArgumentParser) -> None:
    gc.add_argument("--max-size", metavar="SIZE", help="until the store holds no more than this (200GB)")
    gc.add_argument("--older-than", metavar="TIME", help="what was not used for so long (30d, 12h)")
    gc.add_argument("--keep-runs", type=int, metavar="N", help="keep what the last N runs used; alone: nothing else")
    gc.add_argument("--trainings", action="store_true", help="take trainings too, with the states they go on from")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")
    gc.epilog = (
        "Never taken: what a run in progress needs, what is pinned, and (without --trainings) trainings. Without "
        "--max-size, --older-than and --keep-runs, max_size of `vflow config` counts; without that, only left-over "
        "files go. What is missed later is computed again."
    )
    add_store(gc)


def call(arguments: argparse.Namespace) -> int:
    """Call the action."""
    from vflow.engine.store import Store
    from vflow.engine.store.remote_address import chosen

    actions = {"ls": _ls, "show": _show, "verify": _verify, "pin": _pin, "unpin": _unpin, "rm": _rm, "gc": _gc}
    actions["sync"] = _sync
    remote = chosen(arguments.remote) if arguments.action in ("verify", "sync") else None
    return actions[arguments.action](Store(arguments.cache, remote=remote), arguments)


# --- looking ---------------------------------------------------------------------------------------------------------


def _ls(store: Store, arguments: argparse.Namespace) -> int:
    from vflow.engine.cli import holdings
    from vflow.engine.cli.text import out, say, table
    from vflow.engine.store import keeping, listing

    found = store.keeper().look()
    chosen = holdings.chosen(found, arguments)
    rows = listing.runs(found) if arguments.by == "run" else listing.grouped(found, chosen, arguments.by)
    rows.sort(key=lambda row: listing.order(row, arguments.sort))
    if arguments.json:
        out(json.dumps(rows, indent=1))
        return DONE
    if rows:
        for line in table([holdings.HEADS[arguments.by], *(holdings.cells(row, arguments.by) for row in rows)]):
            out(line)
    say(keeping.in_short(found, store.folder))
    return DONE


def _show(store: Store, arguments: argparse.Namespace) -> int:
    from vflow.engine.cli.text import out

    found = list(store.find(arguments.key))
    if not found:
        raise GraphError(f"no record's key begins with {arguments.key!r}", "`vflow cache ls --by result` shows keys")
    pinned = store.keeper().pinned()
    for record in found:
        data = json.loads(record.to_file())["record"]
        pin = {"pinned": True, "note": pinned[record.key]} if record.key in pinned else {"pinned": False}
        out(json.dumps({**data, **data.pop("details"), **pin}, indent=1))
    return DONE


def _verify(store: Store, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    from vflow.engine.cli.text import out

    damages = store.verify()
    for damage in damages:
        out(str(damage))
    out(f"{len(damages)} damaged; what was damaged is computed again when it is needed" if damages else "all is well")
    return FAILED if damages else DONE


def _sync(store: Store, arguments: argparse.Namespace) -> int:
    from vflow.engine.cli.text import count, out, say_error

    if store.remote is None:
        raise GraphError("there is no remote to send to", "name one with --remote, or `vflow config set remote URL`")
    sent, left = store.remote.sync(every=arguments.all)
    say_error(*store.remote.take_notices())
    out(f"{count(sent, 'result')} sent to {store.remote.address.shown}{f', {left:,} left' if left else ''}")
    return FAILED if left else DONE


# --- pins ------------------------------------------------------------------------------------------------------------


def _pin(store: Store, arguments: argparse.Namespace) -> int:
    from vflow.engine.cli.text import count, out, say_error

    keeper = store.keeper()
    keys = _chosen(keeper.look(), arguments)
    kept = keeper.pin(keys, arguments.note)
    out(f"pinned {count(len(kept), 'result')}")
    if len(kept) < len(keys):
        say_error(f"{count(len(keys) - len(kept), 'result')} went while being pinned; run the graph, then pin again")
        return FAILED
    return DONE


def _unpin(store: Store, arguments: argparse.Namespace) -> int:
    from vflow.engine.cli.text import count, out

    keeper = store.keeper()
    out(f"unpinned {count(len(keeper.unpin(_chosen(keeper.look(), arguments))), 'result')}")
    return DONE


# --- removing --------------------------------------------------------------------------------------------------------


def _rm(store: Store, arguments: argparse.Namespace) -> int:
    from vflow.engine.cli.text import say, say_error
    from vflow.engine.store.collect import Chooser, Limits

    keeper = store.keeper()
    found = keeper.look()
    keys = _chosen(found, arguments)
    would = Chooser(found, Limits(), time.time()).named(keys)
    if arguments.dry_run or not would:
        taken = would
    elif not arguments.yes and not _agrees(would):
        say("nothing was removed")
        return FAILED
    else:
        taken = keeper.remove(keys, on_wait=lambda holder: say(f"waiting for another collection ({holder})"))
    _tell(taken, dry=arguments.dry_run)
    for one, reason in taken.refused:
        say_error(f"{one.key[:12]} stays: {reason}")
    return FAILED if taken.refused else DONE


def _agrees(would: Taking) -> bool:
    from vflow.engine.cli.text import say, size
    from vflow.engine.store.keeping import what_goes

    if not sys.stdin.isatty():
        raise GraphError("nobody can be asked here whether to remove results", "say --yes, or --dry-run to look first")
    say(f"{what_goes(would)} would go, {size(would.freed)}. Remove? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _gc(store: Store, arguments: argparse.Namespace) -> int:
    from vflow.engine.cli.text import say
    from vflow.engine.store.keeping import limits_of, over_limit

    limits = limits_of(arguments.max_size, arguments.older_than, arguments.keep_runs, arguments.trainings)
    keeper = store.keeper()
    if arguments.dry_run:
        taken = keeper.choose(limits)
    else:
        taken = keeper.collect(limits, lambda holder: say(f"waiting for another collection ({holder})"))
    _tell(taken, dry=arguments.dry_run)
    if said := over_limit(taken, limits):
        say(said)
    return DONE


def _chosen(found: Any, arguments: argparse.Namespace) -> list[str]:
    """Return the keys that were asked for.

    Raises:
        GraphError: nothing was asked for, or nothing fits.
    """
    from vflow.engine.cli import holdings

    if not holdings.selection(arguments):
        raise GraphError("which results?", "name keys, --graph, --node, --type or --run; `vflow cache ls` lists them")
    keys = [one.key for one in holdings.chosen(found, arguments)]
    if not keys:
        raise GraphError("no result fits that", "`vflow cache ls` lists what the store holds")
    return keys


def _tell(taken: Taking, dry: bool) -> None:
    from vflow.engine.cli.text import out, table
    from vflow.engine.store.keeping import summed, verdict

    if taken.entries:
        for line in table(summed(taken.entries)):
            out(line)
    out(verdict(taken, done=not dry))
