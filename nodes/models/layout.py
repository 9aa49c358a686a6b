"""A checkpoint in diffusers' layout: which family it is of, and which files of a part are loaded.

A checkpoint is a folder with `model_index.json` and a sub-folder per component. It is read through a `Tree`, which is a
folder on this machine or a repository of the hub, so that both are understood by the same rules.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine import keys
from vflow.engine.problems import GraphError
from vflow.nodes.families import families, family_of
from vflow.nodes.families.base import Family

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.values import Part, Task

#: (name relative to the checkpoint, size in bytes, SHA-256)
File = tuple[str, int, str]

#: rises when the choice of files changes: what was remembered of repositories under older rules is then not used
RULES = 2
INDEX = "model_index.json"

_MOST_JSON = 64 * 2**20
_TEXTS = re.compile(r"(?!pytorch_model\.).*\.json|.*\.(model|jinja|tiktoken)|merges\.txt|vocab\.txt")
_COMPONENT = re.compile(r"(?:\w+_)?config\.json|tokenizer\.json")
_CONFIGS = ("config.json", "scheduler_config.json")
#: components whose folder, where it is shared with a network's, is read without that network
_WITHOUT_NETWORK = re.compile(r"(?:tokenizer|processor|feature_extractor|image_processor|scheduler|guider)(?:_\d+)?")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class Tree(ABC):
    """The files of a checkpoint, wherever it lies."""

    #: the checkpoint's name for people, and what to do when something in it is wrong
    title: str
    remedy: str
    #: on the hub, "" elsewhere
    repository: str = ""
    commit: str = ""

    @abstractmethod
    def names(self, folder: str) -> Collection[str]:
        """Return the names of the files in a sub-folder ("" for the top); empty where there is none."""

    @abstractmethod
    def folders(self, folder: str) -> Collection[str]:
        """Return the names of the folders in a sub-folder, in order; empty where there is none."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of a small file."""

    @abstractmethod
    def files(self, names: Iterable[str]) -> list[File]:
        """Return size and SHA-256 of files."""

    def remember(self, what: str, compute: Callable[[], Any]) -> Any:
        """Return plain data that were read from this tree before, where it cannot change; else compute them."""
        return compute()

    def how_to_get(self, family: Family, part: Part, folder: str) -> str:
        """Say how a missing sub-folder of a part is got."""
        return self.remedy


class FolderTree(Tree):
    """A checkpoint in a folder of this machine."""

    def __init__(self, folder: Path, context: Context, title: str = "", remedy: str = "") -> None:
        self.folder, self.context = folder, context
        self.title = title or str(folder)
        self.remedy = remedy or "download the whole repository, or point `model` to a complete folder"

    def names(self, folder: str) -> Collection[str]:
        """List the sub-folder."""
        place = self.folder / folder
        return sorted(entry.name for entry in place.iterdir() if entry.is_file()) if place.is_dir() else []

    def folders(self, folder: str) -> Collection[str]:
        """List the folders in the sub-folder."""
        place = self.folder / folder
        return sorted(entry.name for entry in place.iterdir() if entry.is_dir()) if place.is_dir() else []

    def read(self, name: str) -> bytes:
        """Read the file, bounded in size.

        Raises:
            GraphError: it is larger than a configuration ever is.
        """
        path = self.folder / name
        if path.stat().st_size > _MOST_JSON:
            raise GraphError(f"{path} is too large for a configuration", self.remedy)
        return path.read_bytes()

    def files(self, names: Iterable[str]) -> list[File]:
        """Hash the files; hashes are remembered as long as a file is not touched."""
        paths = {name: self.folder / name for name in names}
        digests = self.context.digests_of(list(paths.values()))
        unread = [str(path) for path in paths.values() if path not in digests]
        if unread:
            raise GraphError(f"{unread[0]} cannot be read", self.remedy)
        return [(name, path.stat().st_size, digests[path]) for name, path in paths.items()]

    def how_to_get(self, family: Family, part: Part, folder: str) -> str:
        """Name the download that brings it from the family's own repository."""
        flavour = family.flavours.get(flavour_with(family, part).rpartition("/")[2])
        repository = flavour.repository if flavour else "OWNER/NAME"
        return f"get it with: hf download {repository} --include '{folder}/*' --local-dir {self.folder}"


def read_family(tree: Tree, part: Part, elsewhere: Collection[str] = ()) -> Family:
    """Return the family of a checkpoint, by the classes that its configurations name.

    `elsewhere` are sub-folders of the part that are taken from another place.

    Raises:
        GraphError: no family knows them, or not the classes of this part.
    """
    classes = classes_of(tree)
    found = family_of(classes) or _of_makers(classes)
    if found is None:
        named = sorted({kind for folder, kind in classes.items() if folder != "_class_name"})
        known = "; ".join(f"{name}: {', '.join(sorted(f.classes['transformer']))}" for name, f in families().items())
        what = f"classes of no known family: {', '.join(named)}" if named else "no model in diffusers layout"
        raise GraphError(f"{tree.title} holds {what}", f"known families: {known}")
    check_part(found, part)
    for folder in found.folders[part]:
        if folder not in elsewhere:
            check_class(tree, found, part, folder, classes.get(folder, ""))
    return found


def _of_makers(classes: Mapping[str, str]) -> Family | None:
    """Return the family of a checkpoint in its makers' own layout: in classes of their own, or several in a folder."""
    named = {name for folder, name in classes.items() if "/" in folder}
    for family in families().values():
        if family.foreign_classes & set(classes.values()) or family.classes["transformer"] & named:
            return family
    return None


def check_class(tree: Tree, family: Family, part: Part, folder: str, name: str) -> None:
    """Refuse a sub-folder of a class, by its name, that the family does not load; "" is no name.

    Raises:
        GraphError: it is of such a class.
    """
    usual = family.classes[part] if folder == family.folders[part][0] else frozenset()
    known = family.component_classes.get(folder, usual)
    if not name or not known or name in known:
        return
    if name in family.foreign_classes:
        homes = ", ".join(f"{family.name}/{one} ({family.flavours[one].repository})" for one in _having(family, part))
        raise GraphError(
            f"{tree.title} is {family.title} in its makers' own layout: its {folder} is a {name}, which the classes of "
            "diffusers do not load",
            f"use a repository of the same weights for them: {homes}; or take what is missing from one of these, "
            f"components: {{{folder}: {flavour_with(family, part)}}}",
        )
    ways = f"; or take another: components: {{{folder}: {flavour_with(family, part)}}}" if family.flavours else ""
    raise GraphError(
        f"{tree.title}: {folder} is a {name}, which {family.title} does not know",
        f"known: {', '.join(sorted(known))}{ways}",
    )


def flavour_with(family: Family, part: Part) -> str:
    """Return `family/flavour` of the first of the family's checkpoints that have this part, "" for none."""
    return next((f"{family.name}/{name}" for name in _having(family, part)), "")


def _having(family: Family, part: Part) -> Iterator[str]:
    for name, one in family.flavours.items():
        if part != "image_encoder" or (one.task or family.task) != "t2v":
            yield name


def check_part(family: Family, part: Part) -> None:
    """Refuse a part that no checkpoint of the family has.

    Raises:
        GraphError: it is such a part.
    """
    if part not in family.folders:
        raise GraphError(f"{family.title} has no {part}", f"leave it out: its parts are {', '.join(family.folders)}")


def task_of(tree: Tree, family: Family, repository: str = "") -> Task:
    """Return what a checkpoint was made for: text to video, image to video, or either.

    One that holds several transformers is for what all of them are for.
    """
    classes = classes_of(tree)
    several = [folder for folder in classes if folder.startswith(f"{family.folders['transformer'][0]}/")]
    tasks = {family.task_of(classes, place) for place in several or [repository]}
    return tasks.pop() if len(tasks) == 1 else "either"


def classes_of(tree: Tree) -> dict[str, str]:
    """Return the class names of a checkpoint by sub-folder; `transformer/480p` is one of several in `transformer`.

    They stand in the index where there is one, else in the parts' configurations. An index also names the pipeline's
    class, under `_class_name`.
    """
    found: dict[str, str] = tree.remember(f"classes, rules {RULES}", lambda: _classes(tree))
    return found


def part_files(tree: Tree, family: Family, part: Part) -> list[File] | None:
    """Return the files that are loaded for a part; None if they are not all where diffusers has them.

    Raises:
        GraphError: a sub-folder has no weights.
    """
    wanted = [folder for folder in family.folders[part] if folder not in family.optional_folders or tree.names(folder)]
    if not all(tree.names(folder) for folder in wanted):
        return None
    return [file for folder in wanted for file in remembered_files(tree, folder)]


def remembered_files(tree: Tree, folder: str, network: bool = True) -> list[File]:
    """Return `component_files`, as they were listed before where they cannot change."""
    what = f"files of {folder}{'' if network else ' without a network'}, rules {RULES}"
    files = tree.remember(what, partial(component_files, tree, folder, network))
    return [(name, size, digest) for name, size, digest in files]


def is_component(tree: Tree, folder: str) -> bool:
    """Tell whether a sub-folder holds a component, and not a whole model."""
    names = tree.names(folder)
    return INDEX not in names and any(_COMPONENT.fullmatch(name) for name in names)


def has_network(name: str) -> bool:
    """Tell of a component's name whether it has weights."""
    return not _WITHOUT_NETWORK.fullmatch(name)


def variants(tree: Tree, folder: str) -> list[str]:
    """Return the components that lie one level deeper, as `folder/name`."""
    inside = (f"{folder}/{name}" for name in tree.folders(folder))
    return [place for place in inside if class_in(tree, place)]


def content_of(files: Iterable[File]) -> str:
    """Return the identity of loaded files: their names and hashes, wherever they lie."""
    return keys.digest(["files", sorted([name, digest] for name, _, digest in files)])


def read_json(tree: Tree, name: str) -> dict[str, Any]:
    """Read a JSON object; constants such as -Infinity, which real configurations hold, are taken.

    Raises:
        GraphError: it is none.
    """
    try:
        data = json.loads(tree.read(name))
    except (ValueError, RecursionError) as error:
        raise GraphError(f"{tree.title}: {name} is no JSON: {error}", tree.remedy) from error
    if not isinstance(data, dict):
        raise GraphError(f"{tree.title}: {name} holds no JSON object", tree.remedy)
    return data


def _classes(tree: Tree) -> dict[str, str]:
    if INDEX in tree.names(""):
        index = read_json(tree, INDEX)
        entries = [(name, entry) for name, entry in index.items() if isinstance(entry, list) and len(entry) == 2]
        pipeline = {"_class_name": kind} if isinstance(kind := index.get("_class_name"), str) else {}
        return pipeline | {name: str(entry[1]) for name, entry in entries if entry[1]}
    known = families().values()
    folders = {folder for family in known for folders in family.folders.values() for folder in folders}
    networks = {family.folders["transformer"][0] for family in known}
    deeper = [f"{network}/{name}" for network in sorted(networks) for name in tree.folders(network)]
    return {folder: name for folder in (*sorted(folders), *deeper) if (name := class_in(tree, folder))}


def class_in(tree: Tree, folder: str) -> str:
    """Return the class that the configuration in a sub-folder names, "" for none."""
    names = tree.names(folder)
    found = next((name for name in _CONFIGS if name in names), "")
    return class_of(read_json(tree, _inside(folder, found))) if found else ""


def class_of(config: dict[str, Any]) -> str:
    """Return the class that a part's configuration names, "" for none."""
    named = config.get("_class_name") or (config.get("architectures") or [""])[0]
    return named if isinstance(named, str) else ""


def component_files(tree: Tree, folder: str, network: bool = True) -> list[File]:
    """Return the files of one sub-folder that are loaded: configurations, vocabularies and weights of a network.

    Raises:
        GraphError: it lacks weights, or has them as pickles only.
    """
    names = tree.names(folder)
    weights = _weights(tree, folder, names) if network else []
    wanted = [name for name in names if _TEXTS.fullmatch(name)] + weights
    return tree.files(_inside(folder, name) for name in sorted(set(wanted)))


def _inside(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _weights(tree: Tree, folder: str, names: Collection[str]) -> list[str]:
    """Choose the weights that `from_pretrained` opens: no variants, no pickles; none for a folder without a network."""
    config = read_json(tree, _inside(folder, "config.json")) if "config.json" in names else {}
    if not class_of(config):
        return []
    # which of a single file and an index comes first differs between the two libraries
    diffusers = "_class_name" in config
    stem = "diffusion_pytorch_model" if diffusers else "model"
    single, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
    if index in names and (diffusers or single not in names):
        shards = sorted(set(map(str, read_json(tree, _inside(folder, index)).get("weight_map", {}).values())))
        missing = [name for name in shards if name not in names]
        if missing or not shards:
            raise GraphError(f"{tree.title}: {folder} lacks weights: {', '.join(missing) or index}", tree.remedy)
        return shards
    if single in names:
        return [single]
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if pickles:
        raise GraphError(
            f"{tree.title}: {folder} holds its weights as pickles only ({pickles[0]}), which are never opened",
            "convert them to safetensors (save_pretrained of the class that its config.json names)",
        )
    raise GraphError(f"{tree.title}: {folder} has no weights ({single})", tree.remedy)
