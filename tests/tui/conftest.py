"""Pilot tests: how they run, and how a screen is compared with the one that is kept."""

import asyncio
import inspect
import os
from pathlib import Path

import pytest

#: set to write the kept screens anew; look at what changed before keeping them
REWRITE = "VFLOW_WRITE_SCREENS"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run tests that are coroutines, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**wanted))
    return True


@pytest.fixture(autouse=True)
def a_users_place(tmp_path, monkeypatch):
    """A store and a configuration of the test's own, and a terminal that hides nothing."""
    monkeypatch.setenv("VFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("NO_COLOR", "COLORTERM", "TEXTUAL", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def text_of(app):
    """Return the screen as plain text, without trailing blanks."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips).rstrip() + "\n"


@pytest.fixture
def same_screen(request):
    """Compare an app's screen with `screens/NAME.txt` beside the test; see REWRITE."""
    folder = Path(request.path).parent / "screens"

    def compare(app, name):
        path, shown = folder / f"{name}.txt", text_of(app)
        if os.environ.get(REWRITE):
            path.parent.mkdir(exist_ok=True)
            path.write_text(shown, encoding="utf-8")
        assert path.is_file(), f"no kept screen {path.name}; look at this one, then keep it with {REWRITE}=1:\n{shown}"
        assert shown == path.read_text(encoding="utf-8")

    return compare
