"""What a run says, or does, when the store has grown beyond what the user allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vflow.engine.problems import VflowError

if TYPE_CHECKING:
    from vflow.engine.config import Config
    from vflow.engine.store.collect import Keeper
    from vflow.engine.store.store import Store


def watch_quota(store: Store) -> None:
    """Compare the store with the user's `max_size`; collect if the user wants that, else say how to.

    What goes wrong here is told and does not change how the run ended.
    """
    from vflow.engine import config
    from vflow.engine.cli.text import say_error, size

    try:
        user = config.load()
        if user.max_size is None:
            return
        keeper = store.keeper()
        if (held := keeper.total()) > user.max_size:
            _tell(keeper, user, f"the store holds {size(held)}, more than the {size(user.max_size)} that you allow")
    except VflowError as error:
        say_error(str(error))


def _tell(keeper: Keeper, user: Config, what: str) -> None:
    from vflow.engine.cli.text import count, say, size
    from vflow.engine.store.collect import Limits

    if not user.auto_collect:
        say(f"{what}; `vflow cache gc` brings it down, `vflow cache gc --dry-run` shows how", "yellow")
        return
    taken = keeper.collect(Limits(max_size=user.max_size, keep_runs=user.keep_runs))
    say(f"{what}; collected {count(len(taken.entries), 'result')} that nobody used for longest, {size(taken.freed)}")
    if taken.left > (user.max_size or 0):
        say(f"{size(taken.left)} are left: pinned, in use, or trainings; `vflow cache ls` lists them", "yellow")
