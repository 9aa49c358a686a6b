"""From the name of a model, as a graph writes it, to where its weights come from and what they are.

- `tiny://ltx2` (`?seed=3`, `?random`): the miniature of a family;
- `ltx2/2.0`: a family's flavour, which stands for its repository (a family's name wins over an owner on the hub);
- `./folder`, `~/folder`, or any folder that exists: a checkpoint in diffusers' layout;
- `owner/name`, `owner/name@revision`: a repository of the hub.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from vflow.engine import keys
from vflow.engine.problems import GraphError, suggest
from vflow.nodes.families import families, family
from vflow.nodes.models import hub, layout
from vflow.nodes.values import Part, Source

if TYPE_CHECKING:
    from vflow.engine.context import Context

TINY = "tiny://"
FORMS = "write tiny://FAMILY, FAMILY/FLAVOUR, a folder (./folder) or a repository of the hub (owner/name)"


def resolve(model: str, part: Part, context: Context) -> Source:
    """Return where a part of a model comes from, with the content of its files as identity.

    Reads configurations only; of a repository of the hub, small files, once (see `hub`).

    Raises:
        GraphError: the name is of no form, or what it names lacks the part, is of no known family, or is out of reach.
    """
    if "://" in model:
        return _miniature(model, part)
    repository = _flavour(model)
    if repository is None and _is_folder(model):
        return _folder(model, part, context)
    named = hub.NAME.fullmatch(repository or model)
    if not named:
        raise GraphError(f"{model!r} names no model", _hint(model))
    return _repository(model, named["repository"], named["revision"] or "main", part, context)


def miniature_seed(model: str) -> int:
    """Return the seed in a `tiny://` name; 0 where there is none.

    Raises:
        GraphError: an option that there is not, or a seed that is no whole number from 0 on.
    """
    options = parse_qs(urlsplit(model).query, keep_blank_values=True)
    for name in options:
        if name not in ("random", "seed"):
            raise GraphError(f"{model!r}: a miniature has no option {name!r}", suggest(name, ("random", "seed")))
    seed = options.get("seed", ["0"])[-1]
    if not re.fullmatch(r"\d{1,18}", seed):
        raise GraphError(f"{model!r}: the seed {seed!r} is no whole number from 0 on", "write for instance ?seed=1")
    return int(seed)


def _miniature(model: str, part: Part) -> Source:
    if not model.startswith(TINY):
        raise GraphError(f"{model!r} names no model", FORMS)
    split = urlsplit(model)
    if split.path.strip("/"):
        raise GraphError(f"{model!r}: a miniature is named by its family alone", f"write {TINY}{split.netloc}")
    known = family(split.netloc)
    content = keys.digest(["miniature", known.name, known.miniature_version, miniature_seed(model)])
    return Source(family=known.name, part=part, content=content, model=model, kind="tiny")


def _flavour(model: str) -> str | None:
    """Return the repository (with the revision, if one is given) that `family/flavour` stands for, else None."""
    name, slash, rest = model.partition("/")
    known = families(third_party=False)
    if not slash or name not in known:
        return None
    flavour, at, revision = rest.partition("@")
    flavours = known[name].flavours
    if flavour not in flavours:
        raise GraphError(f"{known[name].title} has no flavour {flavour!r}", suggest(flavour, flavours))
    if later := flavours[flavour].later:
        ready = ", ".join(f"{name}/{other}" for other, known_flavour in flavours.items() if not known_flavour.later)
        raise GraphError(f"{name}/{flavour} cannot be used yet: {later}", f"use one of {ready}")
    return flavours[flavour].repository + at + revision


def _is_folder(model: str) -> bool:
    return model.startswith(("/", "./", "../", "~")) or model in (".", "..") or Path(model).is_dir()


def _folder(model: str, part: Part, context: Context) -> Source:
    folder = Path(model).expanduser().absolute()
    if not folder.is_dir():
        raise GraphError(f"there is no folder {folder}", "check the path; it is relative to where vflow was started")
    tree = layout.FolderTree(folder, context)
    if layout.INDEX not in tree.names("") and "config.json" in tree.names(""):
        raise GraphError(f"{folder} is one part of a model", f"point `model` to the folder above: {folder.parent}")
    known = layout.read_family(tree, part)
    files = layout.part_files(tree, known, part)
    content = layout.content_of(files)
    context.locate(content, folder)
    for name, _, digest in files:
        context.pin(f"file {name}", digest)
    return Source(family=known.name, part=part, content=content, model=model, kind="folder", files=tuple(files))


def _repository(model: str, repository: str, revision: str, part: Part, context: Context) -> Source:
    tree, commit = hub.open_tree(repository, revision, context)
    known = layout.read_family(tree, part)
    files = layout.part_files(tree, known, part)
    return Source(
        family=known.name,
        part=part,
        content=layout.content_of(files),
        model=model,
        kind="hub",
        repository=repository,
        commit=commit,
        files=tuple(files),
    )


def _hint(model: str) -> str:
    known = families()
    if model in known and known[model].flavours:
        return f"write {model}/{next(iter(known[model].flavours))}, or {TINY}{model} for its miniature"
    return suggest(model, known, FORMS)
