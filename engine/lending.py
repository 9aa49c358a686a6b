"""Live models: loaded once, lent to one node at a time, handed back as they were, released early."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vflow.engine.values import Items, Recipe, Value

if TYPE_CHECKING:
    from vflow.engine.context import Context


class Lender:
    """Keeps the live bases of a run. Recipes with equal `base` share one."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Recipe, Any]] = {}
        self._lent: set[str] = set()

    @property
    def open_bases(self) -> frozenset[str]:
        """The bases that are in memory now."""
        return frozenset(self._open)

    @contextmanager
    def lend(self, recipe: Recipe, context: Context, keep: bool = True) -> Iterator[Any]:
        """Make a recipe live and lend it; undo its transformations on return, or drop the base where that fails.

        Without `keep` the base is dropped on return in any case.

        Raises:
            RuntimeError: the base is lent already (a node would change it under another's hands).
            Failure: the weights do not load.
        """
        name = recipe.base
        if name is None:
            raise TypeError(f"{type(recipe).__name__} has nothing to load")
        if name in self._lent:
            raise RuntimeError("a live model is lent to one borrower at a time")
        base = self._open[name][1] if name in self._open else recipe.open_base(context)
        self._open[name] = (recipe, base)
        self._lent.add(name)
        live = None
        clean = False
        try:
            live = recipe.prepare(base, context)
            yield live
            clean = recipe.restore(base, live, context)
        finally:
            self._lent.discard(name)
            del live, base
            if not (clean and keep):  # a failure on the way leaves the base in an unknown state
                self._close(name)

    def keep_only(self, bases: frozenset[str] | set[str]) -> None:
        """Release every base that is not in `bases`."""
        for name in [name for name in self._open if name not in bases]:
            self._close(name)

    def _close(self, name: str) -> None:
        recipe, base = self._open.pop(name)
        recipe.close_base(base)


def recipes_in(value: Any) -> Iterator[Recipe]:
    """Yield the recipes at a port: the value itself and the recipes inside it."""
    if isinstance(value, Recipe):
        yield value
    if isinstance(value, Value):
        for name in type(value).model_fields:
            yield from recipes_in(getattr(value, name))
    elif isinstance(value, (tuple, list, Items)):
        for entry in value:
            if not isinstance(entry, Value) or isinstance(entry, Recipe):
                yield from recipes_in(entry)
