"""A draft of a graph file with the choice of profiles and parameters, loaded again with each change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine.editing import Draft
from vflow.engine.graph import flow
from vflow.engine.load import Loaded, load
from vflow.engine.problems import Problem

if TYPE_CHECKING:
    from vflow.engine.forms import Form
    from vflow.engine.outline import Outline
    from vflow.engine.session import Request

#: Profiles, and parameters that are set for the session.
Choice = tuple[tuple[str, ...], dict[str, Any]]


class Working:
    """The text and the choice, and what the engine makes of them.

    `version` rises with every change of the text or the choice, so that an answer about an older state is known.
    """

    def __init__(
        self, path: str | Path, profiles: Sequence[str] = (), sets: Mapping[str, Any] | Sequence[str] = ()
    ) -> None:
        """Open a graph file, which need not be there yet.

        Raises:
            GraphError: the file cannot be read.
        """
        self.draft = Draft.open(Path(path))
        self.profiles: tuple[str, ...] = ()
        self.sets: dict[str, Any] = {}
        self.version = 0
        self._renamed: dict[int, tuple[Choice, Choice]] = {}  # edit -> choice before and after, where it changed that
        self.loaded = Loaded()
        self._load(profiles, sets)

    # --- what there is ---------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The file."""
        return self.draft.path

    @property
    def text(self) -> str:
        """The text as edited, saved or not."""
        return self.draft.text

    @property
    def problems(self) -> list[Problem]:
        """What the files show to be wrong; `Planner` finds what only a plan shows."""
        return self.loaded.problems

    @cached_property
    def outline(self) -> Outline:
        """The graph as it is drawn."""
        from vflow.engine.outline import outline

        return outline(self.loaded)

    def form(self, node: str, more: Iterable[Problem] = ()) -> Form | None:
        """Return the form of a node, None where there is no such node; `more` are problems that a plan found."""
        from vflow.engine.forms import form

        return form(self.loaded, node, more)

    def request(self, until: Iterable[str] = ()) -> Request:
        """Return what a plan or a run of this text, with this choice, asks for."""
        from vflow.engine.session import Request

        return Request(
            str(self.path), self.profiles, tuple(self.sets_as_words()), until=tuple(until), text=self.draft.text
        )

    def sets_as_words(self) -> list[str]:
        """Return the parameters that were set for this session as a command line has them."""
        return [f"{name}={flow(value)}" for name, value in self.sets.items()]

    # --- changes ---------------------------------------------------------------------------------------------------

    def edit(self, label: str, change: Callable[[str], str], choice: Choice | None = None) -> None:
        """Change the text; `label` says what was done, for undo. `choice` is the one that fits the changed text.

        Raises:
            EditError: the edit is not possible; nothing was changed.
        """
        count, before = len(self.draft.history), (self.profiles, self.sets)
        self.draft.apply(label, change)
        if len(self.draft.history) > count:
            self._renamed = {at: found for at, found in self._renamed.items() if at < count}
            if choice is not None:
                self._renamed[count] = before, choice
        self._load(*(choice or before))

    def replace(self, label: str, text: str) -> None:
        """Put another text in place of the whole."""
        self.draft.replace(label, text)
        self._load(self.profiles, self.sets)

    def undo(self) -> str | None:
        """Take the last edit back; returns its label, None where there is none."""
        label = self.draft.undo()
        if label is not None:
            before, _ = self._renamed.get(len(self.draft.history), ((self.profiles, self.sets), None))
            self._load(*before)
        return label

    def redo(self) -> str | None:
        """Do again what was undone last; returns its label, None where there is none."""
        label = self.draft.redo()
        if label is not None:
            _, after = self._renamed.get(len(self.draft.history) - 1, (None, (self.profiles, self.sets)))
            self._load(*after)
        return label

    def choose(self, profiles: Sequence[str] | None = None, sets: Mapping[str, Any] | None = None) -> None:
        """Choose other profiles, or set parameters for this session; the file is not changed."""
        self._load(self.profiles if profiles is None else profiles, self.sets if sets is None else sets)

    def tried(self, change: Callable[[str], str]) -> list[Problem]:
        """Return the problems that the graph would have after an edit, which is not made.

        Raises:
            EditError: the edit is not possible.
        """
        return load(self.path, self.profiles, self.sets, text=change(self.text)).problems

    def reload(self) -> None:
        """Read the file again, which undo takes back.

        Raises:
            GraphError: it cannot be read.
        """
        self.draft.reload()
        self._load(self.profiles, self.sets)

    def save_as(self, path: Path) -> None:
        """Save under another name, and go on with that file.

        Raises:
            Failure: it cannot be written.
        """
        self.draft.save_as(path)
        self._load(self.profiles, self.sets)

    def _load(self, profiles: Sequence[str], sets: Mapping[str, Any] | Sequence[str]) -> None:
        self.profiles = tuple(profiles)
        self.loaded = load(self.path, self.profiles, sets, text=self.draft.text)
        if isinstance(sets, Mapping):
            self.sets = dict(sets)
        else:  # texts of the command line, which mean what the graph's parameters make of them
            words = dict(entry.partition("=")[::2] for entry in sets)
            known = self.loaded.graph.params
            self.sets = {name: known.get(name, word) for name, word in words.items()}
        self.__dict__.pop("outline", None)
        self.version += 1

    def _profile_with(self, *path: str) -> str:
        """Return the last of the chosen profiles in which something stands at a path, else ""."""
        for name in reversed(self.profiles):
            found: Any = self.loaded.graph.profiles.get(name)
            for step in path:
                found = found.get(step) if isinstance(found, Mapping) and step in found else None
            if found is not None:
                return name
        return ""
