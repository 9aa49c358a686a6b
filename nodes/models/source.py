"""From the name of a model, as a graph writes it, to where its weights come from and what they are.

- `tiny://FAMILY`: the miniature of a family, trained where one ships with it; `?random`, `?seed=3`: random weights;
- `FAMILY/FLAVOUR`: a family's flavour, which stands for its repository (a family's name wins over an owner on the hub);
- `./folder`, `~/folder`, or any folder that exists: a checkpoint in diffusers' layout;
- `owner/name`, `owner/name@revision`: a repository of the hub.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from vflow.engine import keys
from vflow.engine.problems import GraphError, Problem, suggest
from vflow.nodes.families import families, family, find
from vflow.nodes.models import components, hub, layout, single_file
from vflow.nodes.values import Part, Source

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.families.base import Family
    from vflow.nodes.values import Task

TINY = "tiny://"
FORMS = "write tiny://FAMILY, FAMILY/FLAVOUR, a folder (./folder) or a repository of the hub (owner/name)"


def resolve(model: str, part: Part, context: Context, elsewhere: Mapping[str, str] | None = None) -> Source:
    """Return where a part of a model comes from, with the content of its files as identity.

    Reads configurations only; of a repository of the hub, small files, once (see `hub`). `elsewhere` says of single
    sub-folders of the part where they come from instead (see `components`).

    Raises:
        GraphError: the name is of no form, or what it names lacks the part, is of no known family, or is out of reach.
    """
    named = elsewhere or {}
    if "://" in model:
        if named:
            raise GraphError(Problem("a miniature has all its components", "leave them out", "components"))
        return _miniature(model, part, context)
    repository = repository_of(model)
    if repository is None and is_folder(model):
        return _of_tree(model, _folder(model, context), part, context, named)
    place = hub.NAME.fullmatch(repository or model)
    if not place:
        raise GraphError(f"{model!r} names no model", _hint(model))
    tree, _ = hub.open_tree(place["repository"], place["revision"] or "main", context)
    return _of_tree(model, tree, part, context, named)


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


def _miniature(model: str, part: Part, context: Context) -> Source:
    if not model.startswith(TINY):
        raise GraphError(f"{model!r} names no model", FORMS)
    split = urlsplit(model)
    if split.path.strip("/"):
        raise GraphError(f"{model!r}: a miniature is named by its family alone", f"write {TINY}{split.netloc}")
    known, task = _miniature_of(split.netloc)
    layout.check_part(known, part)
    if part == "image_encoder" and task == "t2v":
        made = next((name for name, other in known.miniatures.items() if other != "t2v"), "")
        raise GraphError(f"{model!r} is for text to video: it has no {part}", f"write {TINY}{made}" if made else "")
    variant = [split.netloc] if split.netloc != known.name else []
    if known.trained_miniature is not None and not split.query and split.netloc == known.name:
        return _trained_miniature(model, known, known.trained_miniature, part, context)
    content = keys.digest(["miniature", known.name, known.miniature_version, miniature_seed(model), *variant])
    return Source(family=known.name, part=part, content=content, model=model, kind="tiny", task=task)


def _trained_miniature(model: str, known: Family, folder: Path, part: Part, context: Context) -> Source:
    """Return a part of a miniature that ships with its family: files like those of any other checkpoint."""
    tree = layout.FolderTree(folder, context, model, "install vflow again")
    files = layout.part_files(tree, known, part)
    if files is None:
        raise GraphError(f"{model} is not complete: files of {folder} are gone", "install vflow again")
    content = layout.content_of(files)
    return Source(
        family=known.name, part=part, content=content, model=model, kind="tiny", task=known.task, files=tuple(files)
    )


def _miniature_of(name: str) -> tuple[Family, Task]:
    """Return the family of a miniature, named by the family or `FAMILY-task`, and what the miniature is made for."""
    of = name.rpartition("-")[0]
    if known := find(of):
        if name not in known.miniatures:
            names = suggest(name, (known.name, *known.miniatures))
            raise GraphError(f"{known.title} has no miniature {name!r}", names)
        return known, known.miniatures[name]
    known = family(name)
    return known, known.task


def repository_of(model: str) -> str | None:
    """Return the repository (with the revision, if one is given) that `family/flavour` stands for, else None."""
    name, slash, rest = model.partition("/")
    known = find(name) if slash else None
    if known is None:
        return None
    flavour, at, revision = rest.partition("@")
    if flavour not in known.flavours:
        raise GraphError(f"{known.title} has no flavour {flavour!r}", suggest(flavour, known.flavours))
    return known.flavours[flavour].repository + at + revision


def is_folder(model: str) -> bool:
    """Tell whether a name is that of a folder, and not of a repository of the hub."""
    return model.startswith(("/", "./", "../", "~")) or model in (".", "..") or folder_at(model) is not None


def folder_at(text: str) -> Path | None:
    """Return the folder that a text names, as an absolute path; None if it names none that exists."""
    try:
        folder = Path(text).expanduser().absolute()
        return folder if folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long a name, a name that no path can have, a user unknown here
        return None


def _folder(model: str, context: Context) -> layout.FolderTree:
    folder = folder_at(model)
    if folder is None:
        told = f"there is no folder {Path(model).absolute()}"
        raise GraphError(told, "check the path; it is relative to where vflow was started")
    tree = layout.FolderTree(folder, context)
    parts = {name for known in families().values() for folders in known.folders.values() for name in folders}
    if layout.INDEX not in tree.names("") and "config.json" in tree.names("") and not parts & set(tree.folders("")):
        raise GraphError(
            f"{folder} is one part of a model",
            f"point `model` to the folder above, {folder.parent}, or if these are trained weights, to the model that "
            "they were trained from, and `weights` of LoadTransformer to this folder",
        )
    return tree


def _of_tree(model: str, tree: layout.Tree, part: Part, context: Context, named: Mapping[str, str]) -> Source:
    """Return a part of a checkpoint: of the checkpoint alone where it has all of it and nothing else is named."""
    known = layout.read_family(tree, part, named)
    components.check_names(named, known, part)
    files = None if named else layout.part_files(tree, known, part)
    if files is None:
        return _joined(model, tree, known, part, context, named)
    content = layout.content_of(files)
    if isinstance(tree, layout.FolderTree) and not tree.repository:
        context.locate(content, tree.folder)
        for name, _, digest in files:
            context.pin(f"file {name}", digest)
    return Source(
        family=known.name,
        part=part,
        content=content,
        model=model,
        kind="hub" if tree.repository else "folder",
        repository=tree.repository,
        commit=tree.commit,
        task=layout.task_of(tree, known, tree.repository),
        files=tuple(files),
    )


def _joined(
    model: str,
    tree: layout.Tree,
    known: Family,
    part: Part,
    context: Context,
    named: Mapping[str, str],
) -> Source:
    """Return a part whose sub-folders do not all lie where diffusers has them, each a source of its own."""
    found: dict[str, Source] = {}
    for name in known.folders[part]:
        component = components.Component(name, known, part, context)
        if name in named and single_file.is_single_file(named[name]):
            found[name] = single_file.component(tree, name, named[name], known, part, context)
        elif name in named:
            found[name] = component.named(named[name])
        elif tree.names(name) or name not in known.optional_folders:
            found[name] = component.of_model(tree, model)
    logical = (
        (f"{name}/{file.rpartition('/')[2]}", size, digest)
        for name, component in found.items()
        for file, size, digest in component.files
    )
    network = found.get(known.folders["transformer"][0])
    return Source(
        family=known.name,
        part=part,
        content=layout.content_of(logical),
        model=model,
        kind="joined",
        repository=tree.repository,
        commit=tree.commit,
        task=network.task if network else layout.task_of(tree, known, tree.repository),
        components=tuple(found.items()),
    )


def _hint(model: str) -> str:
    known = families()
    if model in known and known[model].flavours:
        return f"write {model}/{next(iter(known[model].flavours))}, or {TINY}{model} for its miniature"
    return suggest(model, known, FORMS)
