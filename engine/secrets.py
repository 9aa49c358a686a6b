"""What must never be written for others to read: secrets of the user's environment, and where the user lives.

Secrets come from the environment and from the tools' own logins, never from a graph. An error message of a library may
quote one all the same: so whatever goes into a run's folder passes a `redactor`, and a pack that would hold one is not
written (`leak`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

#: An environment variable is a secret if its name says so.
_NAMES = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.IGNORECASE)
_SHORTEST = 8
#: What tokens of well-known services and private keys look like.
_FORMS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|sk-[A-Za-z0-9_-]{30,}|AKIA[A-Z0-9]{16})\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)


def secrets() -> dict[str, str]:
    """Return name and value of the environment's secrets; very short values, which could be any word, are passed."""
    return {n: v for n, v in os.environ.items() if len(v) >= _SHORTEST and _NAMES.search(n) and not Path(v).exists()}


def redactor(*, home: bool = True) -> Callable[[str], str]:
    """Return what makes a text fit to be kept: the environment's secrets become `***`, the home folder becomes `~`.

    The environment is looked at once, here: a run passes many thousand events through it.
    """
    # longest first: one secret may begin with another
    values = sorted(secrets().values(), key=len, reverse=True)
    folder = os.environ.get("HOME", "") if home else ""
    below = _below(folder) if len(folder) > 1 else None

    def redacted(text: str) -> str:
        for value in values:
            if value in text:
                text = text.replace(value, "***")
        return below.sub("~", text) if below is not None and folder in text else text

    return redacted


def leak(text: str, *, home: bool = True) -> str | None:
    """Return in words what a text would give away, or None: a secret, something that looks like one, the home folder.

    The words never hold the secret itself. Without `home`, a path below the home folder is none.
    """
    for name, value in secrets().items():
        if value in text:
            return f"the secret in ${name}"
    if found := _FORMS.search(text):
        return f"something that looks like a token or key ({found[0][:5]}...)"
    folder = os.environ.get("HOME", "") if home else ""
    if len(folder) > 1 and _below(folder).search(text):
        return "a path below your home folder"
    return None


@cache
def _below(folder: str) -> re.Pattern[str]:
    # where the home is /root, /rooted is none of it
    return re.compile(re.escape(folder.rstrip("/")) + r"(?![\w.-])")
