"""Bringing what a recipe needs to this machine, by one process at a time."""

from __future__ import annotations

from collections.abc import Callable

from vflow.engine import keys
from vflow.engine.context import Context
from vflow.engine.store import Store
from vflow.engine.values import Recipe


def fetch(
    recipe: Recipe,
    context: Context,
    store: Store,
    on_wait: Callable[[str], None] = lambda _holder: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Fetch what a recipe needs; False where another process has done so meanwhile. `on_wait` is told of that one.

    Raises:
        Failure: it cannot be had.
        Interrupted: `should_stop` said so while waiting.
    """
    with store.lease(keys.digest(["fetch", recipe.base]), on_wait, should_stop):
        if recipe.is_fetched(context):
            return False
        recipe.fetch(context)
    return True
