"""Make a pack: one file with a graph, its lock and chosen results, from which others run it with everything reused.

In it are the results of the nodes that the graph's outputs come from, and of those that were asked for. Of all other
nodes only what they gave is told, mostly as digests (`frozen`): enough to form every key. Clips, captions and other
files of the user stay out, unless asked for. A pack is refused that would hold a secret or tell where the user lives.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vflow.engine import frozen, keys, lock, packfile, secrets
from vflow.engine.node import matters
from vflow.engine.packfile import Manifest
from vflow.engine.portable import leaks, portable, portable_recipe, portable_value
from vflow.engine.problems import Failure, GraphError, Problem, suggest
from vflow.engine.store import Record
from vflow.engine.thawing import fingerprint
from vflow.engine.values import Value, blobs_of, identity_of, output_from_json, output_to_json, without_words

if TYPE_CHECKING:
    from vflow.engine.graph import Graph
    from vflow.engine.session import Session
    from vflow.engine.steps import Step

_IDENTITY = re.compile(r"[0-9A-Za-z_-]{1,128}")


def pack(session: Session, out: Path, nodes: Sequence[str] = (), with_clips: bool = False) -> Manifest:
    """Write a pack of a planned graph to `out`, with the results of `nodes` besides those of its outputs.

    Raises:
        GraphError: a result is not there yet, or the pack would give something away; with every problem found.
        Failure: it cannot be written.
    """
    packing = _Packing(session, nodes, with_clips)
    files = packing.files()
    if packing.problems:
        raise GraphError(packing.problems)
    entries = {name: _measured(name, content) for name, content in files.items()}
    manifest = Manifest(entries, packing.about())
    if out.exists() and not _is_pack(out):
        raise GraphError(f"{out} is there and is no pack", "name another file with -o FILE")
    try:
        with tempfile.NamedTemporaryFile(dir=out.absolute().parent, prefix=f".{out.name}.", delete=False) as file:
            partial = Path(file.name)
            try:
                packfile.write(file, manifest, files)
                file.flush()
                os.fsync(file.fileno())
                partial.chmod(0o644)
                partial.replace(out)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror}", "name another file with -o FILE") from error
    return manifest


class _Packing:
    """Collects what goes into one pack, and what is wrong with it."""

    def __init__(self, session: Session, nodes: Sequence[str], with_clips: bool) -> None:
        self.session, self.plan, self.with_clips = session, session.plan, with_clips
        self.problems: list[Problem] = []
        self.results: dict[str, int] = {}
        for name in nodes:
            if name not in self.plan.steps:
                raise GraphError(f"--with names no node: {name!r}", suggest(name, self.plan.steps))
        chosen = dict.fromkeys([*self.plan.targets, *nodes])
        self.chosen = [step for name in chosen if not (step := self.plan.steps[name]).node.light]

    def files(self) -> dict[str, bytes | Path]:
        """Return name and content of every file but the manifest."""
        graph = self._graph()
        files: dict[str, bytes | Path] = {}
        for step in self.chosen:
            self._add_results(step, files)
        entries = {step.name: self._entry(step, files) for step in self._frozen()}
        files[packfile.FROZEN] = frozen.write(entries)
        files[packfile.GRAPH] = graph.to_text().encode()
        files[packfile.LOCK] = self._lock().to_text().encode()
        source = self.session.loaded.source_text
        if source and not secrets.leak(source):
            files[packfile.ORIGINAL] = source.encode()
        files[packfile.README] = self._readme(packfile.ORIGINAL in files).encode()
        self.problems += leaks(files)
        return files

    def about(self) -> dict[str, Any]:
        """Return what the manifest tells people."""
        return {"graph": self.plan.loaded.graph.name, "results": self.results, "with_clips": self.with_clips}

    # --- results ---------------------------------------------------------------------------------------------------

    def _add_results(self, step: Step, files: dict[str, bytes | Path]) -> None:
        if step.state != "reused" or step.missing or self._store.lacking(step.records):
            remedy = f"`vflow run` the graph first (with --until {step.name}, if it is no output)"
            self._tell(step, "its result is not in the store", remedy)
            return
        items = {key: identity for identity, key in step.item_keys.items()}
        self.results[step.name] = len(step.records)
        for key, record in sorted(step.records.items()):
            output = output_from_json(record.output)
            told = output if self.with_clips else without_words(output)
            files[f"records/{key}.json"] = self._record(step, record, told, items.get(key)).to_file()
            self._add_blobs(step, output, files)

    def _record(self, step: Step, record: Record, output: Any, item: str | None) -> Record:
        """Return the record as it is shared: without words and paths of the user, and with what its key is made of."""
        inputs = {port: identity_of(value) for port, value in step.inputs.items() if value is not None}
        if item is not None:
            inputs[step.node.per_item] = item
        return Record(
            key=record.key,
            node_type=record.node_type,
            version=record.version,
            output=output_to_json(output),
            blobs=record.blobs,
            seconds=record.seconds,
            created=record.created,
            environment=record.environment,
            facts=portable(dict(record.facts)),
            settings=step.node.key_settings(),
            inputs=inputs,
            graph=record.graph,
            node=record.node,
        )

    def _add_blobs(self, step: Step, output: Any, files: dict[str, bytes | Path]) -> None:
        for blob in blobs_of(output):
            if blob.suffix not in packfile.BLOBS:
                self._tell(step, f"its result is a {blob.suffix} file", "packs hold safetensors, MP4, JSON and texts")
                continue
            files[f"blobs/{blob.digest}{blob.suffix}"] = self._store.blob_path(blob, verify=True)

    # --- what nodes gave -------------------------------------------------------------------------------------------

    def _frozen(self) -> Iterator[Step]:
        """Yield the nodes whose outputs are frozen, each after those it reads from.

        They are the heavy nodes whose results stay out, the light ones that look at the world outside the graph, and
        the light ones below any of these, which could not run without them.
        """
        told: set[str] = set()
        chosen = {step.name for step in self.chosen}
        for step in self.plan.steps.values():
            if not step.known or step.state == "disabled":
                continue
            below = any(name in told or not self.plan.steps[name].node.light for name in step.bound.sources)
            served = self.plan.frozen is not None and step.name in self.plan.frozen.served
            outside = served or bool(step.pins or step.read or step.located)
            observed = any(port.observed for port in step.node.outputs.values())
            if (outside or below) if step.node.light else (step.name not in chosen or observed):
                told.add(step.name)
                yield step

    def _entry(self, step: Step, files: dict[str, bytes | Path]) -> frozen.Entry:
        print_ = fingerprint(self.plan, step, portable)
        if step in self.chosen:
            observed = {name: step.output[name] for name, port in step.node.outputs.items() if port.observed}
            shown = {link.output for link in self.plan.loaded.outputs.values() if link.node == step.name}
            if shown & observed.keys():
                self._add_blobs(step, observed, files)
            told = frozen.encode(observed, portable_value if shown & observed.keys() else portable_recipe)
            return frozen.Entry(print_, None, observed=told)
        facts = portable(step.facts) if step.node.light else {}
        whole: Callable[[Value], Value | None] = portable_recipe
        if self.with_clips and step.node.light:
            whole = portable_value
            self._add_blobs(step, step.output, files)
        return frozen.Entry(print_, frozen.encode(step.output, whole), self._located(step, files), facts)

    def _whole(self, value: Value) -> Value | None:
        return portable_value(value)

    def _located(self, step: Step, files: dict[str, bytes | Path]) -> dict[str, tuple[str, str] | None]:
        """Return where the pack has the files that a node located; None for those that stay out."""
        found: dict[str, tuple[str, str] | None] = {}
        for identity, path in sorted(step.located.items()):
            found[identity] = None
            if self.with_clips and _IDENTITY.fullmatch(identity) and path.suffix.lower() in packfile.CLIPS:
                name = f"files/{identity}{path.suffix.lower()}"
                files[name] = path.resolve()
                found[identity] = (name, self._store.digest_of(path))
        return found

    # --- texts -----------------------------------------------------------------------------------------------------

    def _graph(self) -> Graph:
        """Return the graph with the last part of each absolute path in its place."""
        graph = self.plan.loaded.graph
        nodes = {}
        for name, spec in graph.nodes.items():
            settings = {key: portable(value) for key, value in spec.settings.items()}
            bound = self.plan.loaded.bound.get(name)
            for key in (key for key in settings if settings[key] != spec.settings[key]):
                if bound and not bound.type.light and matters(bound.type.model_fields[key]) in ("plain", "horizon"):
                    message = "it is an absolute path, which is part of the result's key"
                    problem = Problem(message, "write a path relative to the current folder, and run again", key)
                    self.problems.append(self.plan.loaded.place(problem, name))
            nodes[name] = dataclasses.replace(spec, settings=settings)
        return dataclasses.replace(graph, nodes=nodes)

    def _lock(self) -> lock.Lock:
        made = lock.made(self.plan)
        nodes = {}
        for name, node in made.nodes.items():
            pins = {w: i for w, i in node.pins.items() if self.with_clips or not w.startswith("file ")}
            settings = keys.digest(portable(self.plan.steps[name].node.key_settings())) if node.settings else ""
            nodes[name] = dataclasses.replace(node, pins=pins, settings=settings)
        return dataclasses.replace(made, nodes=nodes)

    def _readme(self, original: bool) -> str:
        graph, data = self.plan.loaded.graph, "Clips, captions and other files of its author are in it."
        if not self.with_clips:
            data = "Clips, captions and other files of its author are not in it, only digests of them."
        results = [f"- `{name}`: {count} result{'s' * (count != 1)}" for name, count in sorted(self.results.items())]
        versions = ", ".join(f"{name} {number}" for name, number in sorted(lock.versions().items()))
        lines = [
            f"# {graph.name}",
            *(["", graph.about] if graph.about else []),
            "",
            "A pack of vflow: a graph, its lock, and results of it. It is data; nothing in it is run by unpacking it.",
            "",
            "    vflow unpack FILE FOLDER",
            "    vflow plan FOLDER/graph.yaml      what it would read, download, write and send",
            "    vflow run FOLDER/graph.yaml       everything in it is reused (--locked: refuse what differs)",
            "",
            "## In it",
            "",
            "- `graph.yaml`: the graph as resolved" + (", `original.yaml`: as its author wrote it" if original else ""),
            "- `graph.yaml.lock`: what its names stood for; `graph.yaml.frozen`: what its nodes gave, as digests",
            "- results, which go into your store:" if results else "- no results",
            *(f"  {line}" for line in results),
            "",
            data,
            "The texts in the graph's settings, prompts among them, are in it.",
            "",
            f"Made with {versions}.",
        ]
        return "\n".join(lines) + "\n"

    @property
    def _store(self) -> Any:
        return self.session.world.store

    def _tell(self, step: Step, message: str, remedy: str) -> None:
        self.problems.append(self.plan.loaded.place(Problem(message, remedy), step.name))


def _measured(name: str, content: bytes | Path) -> tuple[int, str]:
    if isinstance(content, bytes):
        return len(content), keys.digest_bytes(content)
    if name.startswith("blobs/"):  # verified when it was looked up
        return content.stat().st_size, name.removeprefix("blobs/").partition(".")[0]
    return content.stat().st_size, keys.digest_file(content)


def _is_pack(path: Path) -> bool:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            return packfile.MANIFEST in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
