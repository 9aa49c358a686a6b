"""Why an edit, or a save, was not made."""

from __future__ import annotations

from typing import Literal

from vflow.engine.problems import VflowError


class EditError(VflowError):
    """A change that cannot be made to a text, which stays as it is: why, and what to do instead."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message, self.remedy = message, remedy
        super().__init__(f"{message}; {remedy}" if remedy else message)


class ChangedOnDisk(VflowError):
    """A file that is not what was read of it: saving would lose what somebody else wrote. Nothing was written.

    `state` is `gone` where the file is no longer there.
    """

    def __init__(self, path: object, state: Literal["changed", "gone"]) -> None:
        self.state = state
        said = "was removed" if state == "gone" else "was changed"
        super().__init__(f"{path} {said} since it was read; read it again, save it all the same, or save elsewhere")
