"""What a user has chosen of the UI: keys and theme, from the configuration and into it; mistakes are told in words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.theme import Theme

from vflow.engine.problems import Problem, VflowError

Severity = Literal["information", "warning", "error"]
_SEVERITY: Mapping[str, Severity] = {"error": "error", "warning": "warning", "hint": "information"}


class Preferences(App[int]):
    """An app with the user's keys and theme."""

    def __init__(self, *args: Any, **more: Any) -> None:
        self.keymap: dict[str, str] = {}
        super().__init__(*args, **more)

    def say(self, message: str, severity: Severity = "information") -> None:
        """Show a message for a moment."""
        self.notify(message, severity=severity, markup=False, timeout=4 if severity == "information" else 8)

    def take_preferences(self) -> None:
        """Take over keys and theme, say what is wrong with them, and keep the themes that are chosen from now on."""
        from vflow.tui import keys

        self.keymap, problems = keys.configured()
        if self.keymap:
            self.set_keymap(self.keymap)
            self.set_timer(0.5, partial(self.run_worker, self._check_keys, thread=True, group="keys"))
        problems += self._take_theme()
        for problem in problems:
            self.say(str(problem), _SEVERITY[problem.severity])
        self.theme_changed_signal.subscribe(self, self._keep_theme)

    def _check_keys(self) -> None:
        """Say which of the user's keys belong to nothing, or to two; after the start: every view is looked at."""
        from vflow.tui import keys

        for problem in [*keys.unknown(self.keymap, keys.known_actions()), *keys.clashes(self.keymap)]:
            self.call_from_thread(self.say, str(problem), "warning")

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        """Say nothing: Textual tells only of clashes between the user's own keys, `keys.clashes` of all."""

    def _take_theme(self) -> list[Problem]:
        import os

        from vflow.engine import config
        from vflow.engine.problems import suggest

        try:
            wanted = None if os.environ.get("TEXTUAL_THEME") else config.load().theme
        except VflowError:
            return []  # said of the keys already
        if wanted is None or wanted == self.theme:
            return []
        if wanted not in self.available_themes:
            return [
                Problem(f"there is no theme {wanted!r}", suggest(wanted, self.available_themes), "theme", "warning")
            ]
        self.theme = wanted
        return []

    def _keep_theme(self, theme: Theme) -> None:
        self.run_worker(lambda: self._write_theme(theme.name), thread=True, group="theme", exclusive=True)

    def _write_theme(self, name: str) -> None:
        from vflow.engine import config

        try:
            config.assign("theme", [name])
        except VflowError as error:
            self.call_from_thread(self.say, f"the theme is not kept: {error}", "warning")
