"""`vflow` over torch-free nodes, in a process that is killed, or meets a broken disk, at a chosen operation.

python driver.py JOB        does one job: JSON with `words` (of the command line) and how it is disturbed, see `Job`
python driver.py --serve    reads jobs line by line, does each in a child of its own, and answers with a line
"""

import atexit
import builtins
import errno
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vflow.engine.cli import main
from vflow.engine.context import Context
from vflow.engine.node import Node, horizon, placement
from vflow.engine.store import blobs, leases, owners, store
from vflow.engine.store.index import Index
from vflow.engine.values import Artifact, Blob, Item, Items, Recipe, Value

# --- nodes -----------------------------------------------------------------------------------------------------------


class FaultWord(Value):
    text: str


class FaultText(Artifact):
    blob: Blob

    def plain_files(self):
        yield "text.txt", self.blob


class FaultLength(Artifact):
    length: int


class FaultWords(Node):
    """A light source of words: those given, and `many` more."""

    light = True
    words: tuple[str, ...] = ()
    many: int = 0

    def run(self, context: Context) -> Items[FaultWord]:
        words = (*self.words, *(f"w{n:03d}" for n in range(self.many)))
        return Items(Item(word, FaultWord(text=word)) for word in words)


class FaultTool(Recipe):
    name: str

    @property
    def base(self):
        return self.name

    def is_fetched(self, context):
        return context.recall("tool", self.name) is not None

    def fetch(self, context):
        note(f"fetch {self.name}")
        time.sleep(0.5)
        context.record_fact("tool", self.name, True)

    def files_needed(self):
        return (f"tool {self.name}",)

    def open_base(self, context):
        return self.name


class FaultTake(Node):
    """A recipe."""

    light = True
    name: str

    def run(self, context: Context) -> FaultTool:
        return FaultTool(name=self.name)


class FaultCarve(Node):
    """Per item, a blob each: every other one comes as a file."""

    times: int = 1000
    seconds: float = placement(0.0)

    def run(self, context: Context, words: Items[FaultWord], tool: FaultTool | None = None) -> Iterator[FaultText]:
        for word in words:
            note(f"carve {word.text}")
            time.sleep(self.seconds)
            data = f"{word.text} ".encode() * self.times
            if len(word.text) % 2:
                yield FaultText(blob=context.put(data, ".txt"))
                continue
            with context.scratch() as folder:
                (folder / "text").write_bytes(data)
                yield FaultText(blob=context.put(folder / "text", ".txt"))


class FaultLengths(Node):
    """Per item, quick, without blobs."""

    def run(self, context: Context, words: Items[FaultWord]) -> Iterator[FaultLength]:
        for word in words:
            yield FaultLength(length=len(word.text))


class FaultJoin(Node):
    """Whole: reads every blob of two lists."""

    seconds: float = placement(0.0)
    drawn: bool = False

    def run(self, context: Context, texts: Items[FaultText], lengths: Items[FaultLength] | None = None) -> FaultText:
        time.sleep(self.seconds)
        read = [context.blob_path(text.blob).read_text()[:9] for text in texts]
        note("join")
        told = [length.length for length in lengths or ()]
        by_chance = os.urandom(8).hex() if self.drawn else ""
        return FaultText(blob=context.put(json.dumps([read, told, by_chance]).encode(), ".txt"))


class FaultWalk(Node):
    """Like a training: goes `steps` far, keeps its state in the work folder, publishes on the way."""

    steps: int = horizon(3)
    seconds: float = placement(0.0)

    def run(self, context: Context, text: FaultText) -> FaultText:
        note("walk")
        state = context.work / "state.json"
        start = context.blob_path(text.blob).read_text()
        at, sums = json.loads(state.read_text()) if state.exists() else (0, 0)
        if at > self.steps:
            at, sums = 0, 0
        for step in range(at, self.steps):
            note(f"step {step}")
            time.sleep(self.seconds)
            sums = (sums * 31 + step + len(start)) % 9973
            partial = context.work / "state.part"
            with partial.open("w") as file:
                json.dump([step + 1, sums], file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(state)
            context.publish(context.put(f"{sums}".encode()), f"checkpoints/{step}.txt")
            context.progress(step + 1, self.steps)
        return FaultText(blob=context.put(f"{start} {sums}".encode(), ".txt"))


def note(text):
    """Write down what was computed, in one file of all processes."""
    if path := os.environ.get("FAULT_DONE"):
        handle = _REAL["open"](path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        _REAL["write"](handle, f"{text}\n".encode())
        os.close(handle)


# --- disturbance -----------------------------------------------------------------------------------------------------

_NAMES = ("open", "write", "pwrite", "fsync", "replace", "rename", "link", "unlink", "mkdir")
_REAL = {name: getattr(os, name) for name in _NAMES}
_OPEN = builtins.open
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_NEED_NO_SPACE = ("unlink",)


@dataclass
class Job:
    """One call of the command line, and how it is disturbed.

    Operations are the system calls that change files below `place`, and the puts into the index; the first is 1.
    `kill`: the process ends before that operation. `power`: what was not synced is lost with it, and (2) names too.
    `fail`: that operation, and all after it if `lasting`, end with `error` (the name of an errno), below `under`.
    `stall`, `stall_alive`: seconds until a holder counts as dead. `clock`: seconds that the clock is ahead. `host`: the
    machine that this process thinks it is on. `rot`: blobs that begin so are damaged as soon as they are written.
    """

    words: list[str]
    cwd: str = "."
    env: dict[str, str] = field(default_factory=dict)
    place: str = ""
    kill: int = 0
    power: int = 0
    fail: int = 0
    error: str = ""
    lasting: bool = True
    under: str = ""
    stall: float = 0.0
    stall_alive: float = 0.0
    clock: float = 0.0
    host: str = ""
    count: str = ""
    rot: str = ""


class Disturbed:
    """Stands before the operations of this process."""

    def __init__(self, job):
        self.job, self.count, self.lock = job, 0, threading.RLock()
        self.unsynced, self.renamed = set(), {}
        self.undo = Path(job.place, ".undo")
        self.backups = 0

    def install(self):
        for name in _NAMES:
            setattr(os, name, self._hooked(name))
        builtins.open = io.open = self._open
        put, sync_disk = Index.put_many, sys.modules["vflow.engine.store.files"]._sync_disk

        def put_many(index, rows):
            if rows:
                self._before("index", f"{self.job.place}/index", ())
            put(index, rows)

        def synced_disk(root):
            self._before("fsync", root, ())
            self.unsynced.clear()
            return sync_disk is not None

        Index.put_many = put_many
        sys.modules["vflow.engine.store.files"]._sync_disk = synced_disk

    def _hooked(self, name):
        def call(*args, **kwargs):
            path = self._path(name, args)
            if path is None:
                return _REAL[name](*args, **kwargs)
            with self.lock:
                self._before(name, path, args)
                if self.job.power and name in ("replace", "rename"):
                    self._note_rename(str(args[0]), path)
                # what is synced is only noted: really syncing would take time and show nothing
                result = _REAL[name](*args, **kwargs) if name != "fsync" else None
                self._after(name, path)
            return result

        return call

    def _open(self, file, mode="r", *args, **kwargs):
        if isinstance(file, int) or not any(letter in mode for letter in "wax+") or not self._inside(str(file)):
            return _OPEN(file, mode, *args, **kwargs)
        with self.lock:
            self._before("open", os.path.abspath(file), ())
            self.unsynced.add(os.path.abspath(file))
        return _OPEN(file, mode, *args, **kwargs)

    def _path(self, name, args):
        """The path that a call changes, if it is one of ours."""
        if name == "open" and not args[1] & _WRITING:
            return None
        path = args[1] if name in ("replace", "rename", "link") else args[0]
        path = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.path.abspath(os.fspath(path))
        if name == "unlink" and not os.path.lexists(path):
            return None
        return path if self._inside(path) else None

    def _inside(self, path):
        # the files of the index are sqlite's own business: it is disturbed at every put
        path = os.path.abspath(path)
        return path.startswith(f"{self.job.place}/") and "/index/" not in path and "/.undo" not in path

    def _before(self, name, path, args):
        self.count += 1
        job = self.job
        if self.count == job.kill:
            self._end(name, args)
        due = self.count >= job.fail if job.lasting else self.count == job.fail
        if job.fail and due and path.startswith(job.under) and name not in _NEED_NO_SPACE and name != "index":
            number = getattr(errno, job.error)
            raise OSError(number, os.strerror(number), path)

    def _after(self, name, path):
        if name in ("write", "pwrite", "open"):
            self.unsynced.add(path)
        elif name == "fsync":
            self.unsynced.discard(path)
            self.renamed = {new: old for new, old in self.renamed.items() if os.path.dirname(new) != path}

    def _note_rename(self, old, new):
        backup = ""
        if os.path.isfile(new):
            _REAL["mkdir"](self.undo) if not self.undo.exists() else None
            backup = str(self.undo / str(self.backups))
            self.backups += 1
            _REAL["link"](new, backup)
        self.renamed.setdefault(new, (old, backup))
        if old in self.unsynced:
            self.unsynced.remove(old)
            self.unsynced.add(new)

    def _end(self, name, args):
        if name in ("write", "pwrite"):
            _REAL["write"](args[0], bytes(args[1])[: len(args[1]) // 2])
        if self.job.power:
            self._lose_power()
        os.kill(os.getpid(), signal.SIGKILL)

    def _lose_power(self):
        for path in self.unsynced:
            if os.path.isfile(path):
                os.chmod(path, 0o644)
                os.truncate(path, os.path.getsize(path) // 3)
        for new, (old, backup) in reversed(self.renamed.items()) if self.job.power > 1 else ():
            if os.path.lexists(new) and os.path.isdir(os.path.dirname(old)):
                _REAL["rename"](new, old)
                if backup:
                    _REAL["rename"](backup, new)


def rot(start):
    """Have the disk damage blobs that begin so."""
    real = blobs.Blobs._place

    def place(self, temporary, digest):
        real(self, temporary, digest)
        path = Path(self.path_of(digest))
        data = path.read_bytes()
        if data.startswith(start):
            path.chmod(0o644)
            path.write_bytes(data[:-1] + b"!")

    blobs.Blobs._place = place


def do(job):
    """Do a job in this process; return the exit code."""
    os.environ.update(job.env)
    os.chdir(job.cwd)
    if job.stall or job.stall_alive:
        store.Store.__init__.__kwdefaults__.update(stall=job.stall or 10.0, stall_alive=job.stall_alive or 60.0)
        leases.BEAT = min(job.stall or 10.0, job.stall_alive or 60.0) / 5
    if job.clock:
        real, real_ns = time.time, time.time_ns
        time.time, time.time_ns = lambda: real() + job.clock, lambda: real_ns() + int(job.clock * 10**9)
    if job.host:
        owners.platform.node, owners._boot = lambda: job.host, lambda: f"boot of {job.host}"
    if job.rot:
        rot(job.rot.encode())
    disturbed = Disturbed(job)
    if job.place:
        disturbed.install()
    try:
        code = main(job.words)
    except SystemExit as end:
        code = end.code
    if job.count:
        with _OPEN(job.count, "w") as file:
            file.write(str(disturbed.count))
    return code


def serve():
    """Do jobs in children, one after the other."""
    for name in ("cli.run", "cli.plan", "cli.cache", "session", "run", "progress", "store.collect", "frozen", "disk"):
        __import__(f"vflow.engine.{name}")
    import diskcache  # noqa: F401
    import networkx  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
            code = 70
            try:
                code = do(Job(**asked["job"]))
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                atexit._run_exitfuncs()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve()
    else:
        sys.exit(do(Job(**json.loads(sys.argv[1]))))
