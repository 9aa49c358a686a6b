"""The node that holds the prompts of a validation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import model_validator

from vflow.engine.context import Context
from vflow.engine.keys import digest
from vflow.engine.node import Node, Outputs, private
from vflow.engine.problems import GraphError, Problem
from vflow.engine.values import Item, Items
from vflow.nodes.data import advice
from vflow.nodes.values import NEGATIVE_ROW, Caption, TextEncoder

_LONGEST_ROW = 40


class PromptSet(Outputs):
    """Prompts in their order, under rows made of their number and first words; the negative one has its own row."""

    prompts: Items[Caption]


class Prompts(Node):
    """Give prompts to draw clips for: written here, in a text file with one on each line, or both."""

    light: ClassVar[bool] = True

    prompts: tuple[str, ...] = private((), description="Prompts, each drawn as one clip.")
    file: str | None = private(
        None, min_length=1, description="UTF-8 text file with one prompt a line, relative to the current folder."
    )
    negative: str | None = private(
        None,
        description="What to steer away from, under guidance above 1; empty: the own of the family that is linked as "
        "text_encoder, where it has one, else the empty caption.",
    )

    @model_validator(mode="after")
    def _some_prompt(self) -> Prompts:
        if not self.prompts and self.file is None:
            raise ValueError("give prompts, or a file of them")
        return self

    def run(self, context: Context, text_encoder: TextEncoder | None = None) -> PromptSet:
        """Read the file, and name the prompts. The text encoder's recipe says which family's negative prompt to take.

        Raises:
            GraphError: the file cannot be read, or holds no prompt.
        """
        texts = [text.strip() for text in self.prompts]
        if self.file:
            read = _read(self.file)
            context.pin(f"file {Path(self.file).name}", digest(read))
            texts += read
        items = [Item(row, Caption(text=text)) for row, text in zip(row_names(texts), texts, strict=True)]
        family = text_encoder.family if text_encoder else None
        if family:
            named = list(zip(row_names(texts), texts, strict=True))
            for warning in advice.short(named, family.least_prompt_words, family.title, "prompts"):
                context.log(warning, "warning")
        negative = self.negative
        if negative is None and family and family.negative_prompt:
            negative = family.negative_prompt
        if negative is not None:
            items.append(Item(NEGATIVE_ROW, Caption(text=negative.strip(), negative=True)))
        for item in items:
            context.label(item.row, item.value.text)
        return PromptSet(prompts=Items(items))


def row_names(texts: Sequence[str]) -> list[str]:
    """Name each prompt by its number and its words in plain letters: `01-a-red-circle`, at most 40 characters."""
    digits = max(2, len(str(len(texts))))
    return [_row(f"{number:0{digits}d}", text) for number, text in enumerate(texts, 1)]


def _row(number: str, text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join([number, *re.findall("[a-z0-9]+", plain)])[:_LONGEST_ROW].rstrip("-")


def _read(file: str) -> list[str]:
    path = Path(file).expanduser()
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except OSError as error:
        raise GraphError(Problem(f"the prompts in {file} cannot be read ({error.strerror})", "", "file")) from error
    except UnicodeDecodeError as error:
        raise GraphError(Problem(f"{file} is not UTF-8 (byte {error.start})", "save it as UTF-8", "file")) from error
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise GraphError(Problem(f"{file} holds no prompt", "write one prompt on each line", "file"))
    return texts
