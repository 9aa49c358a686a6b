"""A checkpoint in diffusers' layout: which family it is of, and which files of a part are loaded.

A checkpoint is a folder with `model_index.json` and a sub-folder per component. It is read through a `Tree`, which is a
folder on this machine or a repository of the hub, so that both are understood by the same rules.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine import keys
from vflow.engine.problems import GraphError
from vflow.nodes.families import families, family_of
from vflow.nodes.families.base import Family

if TYPE_CHECKING:
    from vflow.engine.context import Context
    from vflow.nodes.values import Part

#: (name relative to the checkpoint, size in bytes, SHA-256)
File = tuple[str, int, str]

#: rises when the choice of files changes: what was remembered of repositories under older rules is then not used
RULES = 1
INDEX = "model_index.json"

_MOST_JSON = 64 * 2**20
_TEXTS = re.compile(r"(?!pytorch_model\.).*\.json|.*\.(model|jinja|tiktoken)|merges\.txt|vocab\.txt")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class Tree(ABC):
    """The files of a checkpoint, wherever it lies."""

    #: the checkpoint's name for people, and what to do when something in it is wrong
    title: str
    remedy: str

    @abstractmethod
    def names(self, folder: str) -> Collection[str]:
        """Return the names of the files in a sub-folder ("" for the top); empty where there is none."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of a small file."""

    @abstractmethod
    def files(self, names: Iterable[str]) -> list[File]:
        """Return size and SHA-256 of files."""

    def remember(self, what: str, compute: Callable[[], Any]) -> Any:
        """Return plain data that were read from this tree before, where it cannot change; else compute them."""
        return compute()

    def how_to_get(self, family: Family, folder: str) -> str:
        """Say how a missing sub-folder is got."""
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

    def how_to_get(self, family: Family, folder: str) -> str:
        """Name the download that brings it from the family's own repository."""
        repository = next(iter(family.flavours.values())).repository if family.flavours else "OWNER/NAME"
        return f"get it with: hf download {repository} --include '{folder}/*' --local-dir {self.folder}"


def read_family(tree: Tree, part: Part) -> Family:
    """Return the family of a checkpoint, by the classes that its configurations name.

    Raises:
        GraphError: no family knows them, or not the class of this part.
    """
    classes = tree.remember("classes", lambda: _classes(tree))
    found = family_of(classes)
    if found is None:
        named = sorted({kind for folder, kind in classes.items() if folder != "_class_name"})
        known = "; ".join(f"{name}: {', '.join(sorted(f.classes['transformer']))}" for name, f in families().items())
        what = f"classes of no known family: {', '.join(named)}" if named else "no model in diffusers layout"
        raise GraphError(f"{tree.title} holds {what}", f"known families: {known}")
    if refusal := found.refusal(classes):
        raise GraphError(f"{tree.title} cannot be used yet: {refusal}", "use a checkpoint for text to video")
    folder = found.folders[part][0]
    name = classes.get(folder)
    if name is not None and name not in found.classes[part]:
        known = ", ".join(sorted(found.classes[part]))
        raise GraphError(f"{tree.title}: {folder} is a {name}, which {found.title} does not know", f"known: {known}")
    return found


def part_files(tree: Tree, family: Family, part: Part) -> list[File]:
    """Return the files that are loaded for a part.

    Raises:
        GraphError: a sub-folder is missing or has no weights; says which, and where to get it.
    """
    found: list[File] = []
    for folder in family.folders[part]:
        if not tree.names(folder):
            raise GraphError(
                f"{tree.title} lacks the sub-folder {folder!r}, which its {part} needs", tree.how_to_get(family, folder)
            )
        files = tree.remember(f"files of {folder}, rules {RULES}", partial(_folder_files, tree, folder))
        found += [(name, size, digest) for name, size, digest in files]
    return found


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
    """Return sub-folder -> class name, from the index where there is one, else from the parts' configurations.

    An index also names the pipeline's class, under `_class_name`.
    """
    if INDEX in tree.names(""):
        index = read_json(tree, INDEX)
        entries = [(name, entry) for name, entry in index.items() if isinstance(entry, list) and len(entry) == 2]
        pipeline = {"_class_name": kind} if isinstance(kind := index.get("_class_name"), str) else {}
        return pipeline | {name: str(entry[1]) for name, entry in entries if entry[1]}
    folders = {folders[0] for family in families().values() for folders in family.folders.values()}
    configured = [folder for folder in sorted(folders) if "config.json" in tree.names(folder)]
    return {folder: name for folder in configured if (name := _class_of(read_json(tree, f"{folder}/config.json")))}


def _class_of(config: dict[str, Any]) -> str:
    named = config.get("_class_name") or (config.get("architectures") or [""])[0]
    return named if isinstance(named, str) else ""


def _folder_files(tree: Tree, folder: str) -> list[File]:
    names = tree.names(folder)
    wanted = [name for name in names if _TEXTS.fullmatch(name)] + _weights(tree, folder, names)
    return tree.files(f"{folder}/{name}" for name in sorted(set(wanted)))


def _weights(tree: Tree, folder: str, names: Collection[str]) -> list[str]:
    """Choose the weights that `from_pretrained` opens: no variants, no pickles; none for a folder without a network."""
    config = read_json(tree, f"{folder}/config.json") if "config.json" in names else {}
    if not _class_of(config):
        return []
    # which of a single file and an index comes first differs between the two libraries
    diffusers = "_class_name" in config
    stem = "diffusion_pytorch_model" if diffusers else "model"
    single, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
    if index in names and (diffusers or single not in names):
        shards = sorted(set(map(str, read_json(tree, f"{folder}/{index}").get("weight_map", {}).values())))
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
