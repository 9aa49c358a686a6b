"""`vflow export`: write an adapter in the form of another program, with its alpha and its recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.cli import DONE

if TYPE_CHECKING:
    from vflow.engine.history import PastRun

_FORMATS = ("comfyui", "diffusers")
_SUFFIX = ".safetensors"
#: the name that diffusers looks for, which tells nothing of the adapter; its folder is the output's name
_USUAL = "pytorch_lora_weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    about = "an adapter's file or folder; a run, by its folder, its name or `last`; or one of its outputs: last/lora"
    parser.add_argument("adapter", metavar="ADAPTER", help=about)
    forms = "comfyui: ComfyUI's names, alpha as tensors; diffusers: as the family's pipeline loads it"
    parser.add_argument("--format", choices=_FORMATS, required=True, help=forms)
    where = "write it there, never over another file; else into this folder, named after the adapter"
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=where)
    parser.add_argument("--family", default="", help="the model family, where the file's layers fit several")


def call(arguments: argparse.Namespace) -> int:
    """Write the file and print its name."""
    from vflow.engine.cli.text import out, say
    from vflow.engine.problems import GraphError
    from vflow.nodes.models.adapter_source import facts_of

    source = find(arguments.adapter)
    facts = facts_of(source, arguments.family)
    target = _target(source, arguments.format, arguments.output)
    try:
        with target.open("xb"):
            pass  # the place is ours now
    except FileExistsError as error:
        raise GraphError(f"{target} is there already, and is not written over", "name another with -o") from error
    except OSError as error:
        raise GraphError(f"{target} cannot be written: {error}", "name another with -o") from error
    try:
        count = _convert(source, facts.family.name, arguments.format, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    out(str(target))
    say(f"{count} layers of {facts.family.title}, from {source}")
    return DONE


def find(name: str) -> Path:
    """Return the file of the adapter that a user names.

    Raises:
        GraphError: there is none, or several.
    """
    from vflow.engine.problems import GraphError

    path = Path(name).expanduser()
    if path.is_file():
        return path
    found = _adapters_of_run(name)
    if found is None and path.is_dir():
        found = _adapters_below(path)
    if found is None:
        raise GraphError(
            f"there is no adapter at {name!r}",
            "name a .safetensors file, its folder, or a run: last, or one that `vflow runs` lists",
        )
    if len(found) == 1:
        return found[0]
    if found:
        raise GraphError(f"{name} holds several adapters: {', '.join(map(str, found))}", "name one of these files")
    raise GraphError(f"{name} holds no adapter", "name an adapter's own file; `vflow show RUN` lists a run's outputs")


def _adapters_of_run(name: str) -> list[Path] | None:
    """Return the adapters among a run's outputs, or in the one that the name goes on with; None: it names no run."""
    parts = Path(name).expanduser().parts
    for length in range(len(parts), 0, -1):
        run = _run(str(Path(*parts[:length])))
        if run is None:
            continue
        below = Path(*parts[length:])
        places = (run.path / "outputs" / below, run.path / below)
        place = next((place for place in places if place.exists()), None)
        return None if place is None else [place] if place.is_file() else _adapters_below(place)
    return None


def _run(name: str) -> PastRun | None:
    from vflow.engine.history import find_run
    from vflow.engine.problems import GraphError

    try:
        return find_run(name)
    except GraphError:
        return None


def _adapters_below(folder: Path) -> list[Path]:
    from vflow.engine.problems import GraphError
    from vflow.nodes.models.adapter_source import facts_of

    found = []
    for path in sorted(folder.rglob(f"*{_SUFFIX}")):
        try:
            facts_of(path)
        except GraphError:
            continue
        found.append(path)
    return found


def _target(source: Path, form: str, output: Path | None) -> Path:
    from vflow.engine.problems import GraphError

    stem = source.absolute().parent.name if source.stem == _USUAL else source.stem
    usual = f"{stem or 'adapter'}-{form}{_SUFFIX}"
    if output is None:
        return Path(usual)
    if output.is_dir():
        return output / usual
    if output.suffix != _SUFFIX:
        raise GraphError(f"{output} does not end in {_SUFFIX}", f"write -o {output.with_suffix(_SUFFIX)}")
    return output


def _convert(source: Path, family_name: str, form: str, target: Path) -> int:
    """Write the adapter and return how many layers it has."""
    from vflow.nodes.families import adapter_forms, family

    known = family(family_name)
    adapter = adapter_forms.read(source, known)
    if form == "comfyui":
        adapter_forms.write_comfyui(adapter, target, known)
    else:
        adapter_forms.write_diffusers(adapter, target, known.adapter_prefix)
    return len(adapter.layers)
