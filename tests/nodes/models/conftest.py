import hashlib
import json
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from vflow.engine.context import Context
from vflow.engine.keys import digest_file
from vflow.engine.problems import Failure, Interrupted
from vflow.engine.values import Blob
from vflow.nodes import families
from vflow.nodes.families.base import Family
from vflow.nodes.families.rules import Flavour, LoRATarget, VideoRules


class Desk(Context):
    """A context over one folder: everything in dictionaries, live models opened for each loan."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts, self.places, self.labels, self.reported, self.said = {}, {}, {}, {}, []
        self.stop_now = False
        self.hashed: list[Path] = []

    @property
    def store_folder(self):
        return self.folder

    @property
    def work(self):
        return self.folder

    @contextmanager
    def scratch(self):
        place = self.folder / "scratch"
        place.mkdir(exist_ok=True)
        yield place
        shutil.rmtree(place)

    def put(self, source, suffix=""):
        blobs = self.folder / "blobs"
        blobs.mkdir(exist_ok=True)
        if isinstance(source, bytes):
            path = blobs / "new"
            path.write_bytes(source)
            source = path
        digest = digest_file(source)
        target = blobs / digest
        size = source.stat().st_size
        source.replace(target)
        return Blob(digest=digest, size=size, suffix=suffix)

    def blob_path(self, blob):
        path = self.folder / "blobs" / blob.digest
        if not path.is_file():
            raise Failure("no such blob")
        return path

    def digest_of(self, path):
        self.hashed.append(path)
        return digest_file(path)

    def digests_of(self, paths):
        return {path: self.digest_of(path) for path in paths}

    def remember(self, kind, key, compute):
        if (kind, key) not in self.facts:
            self.record_fact(kind, key, compute())
        return self.recall(kind, key)

    def recall(self, kind, key):
        found = self.facts.get((kind, key))
        return None if found is None else json.loads(found)

    def recall_many(self, kind, keys):
        return {key: self.recall(kind, key) for key in keys if (kind, key) in self.facts}

    def record_fact(self, kind, key, data):
        self.facts[kind, key] = json.dumps(data)

    def locate(self, identity, path):
        self.places[identity] = path

    def path_of(self, identity):
        return self.places[identity]

    def label(self, identity, text):
        self.labels[identity] = text

    def label_of(self, identity):
        return self.labels.get(identity, identity[:12])

    @contextmanager
    def load(self, recipe, *, keep=True):
        base = recipe.open_base(self)
        live = recipe.prepare(base, self)
        yield live
        recipe.restore(base, live, self)
        recipe.close_base(base)

    def progress(self, done, total, unit="step", **figures):
        pass

    def metrics(self, step, values):
        pass

    def log(self, message, level="info"):
        self.said.append((level, message))

    def leave_out(self, what, reason):
        pass

    def report(self, facts):
        self.reported.update(facts)

    def publish(self, source, name):
        raise NotImplementedError

    def run_folder(self, name):
        raise NotImplementedError

    @property
    def stopping(self):
        return self.stop_now

    def interrupted(self):
        raise Interrupted("stopped")


def write_weights(path: Path, **shapes: tuple[int, ...]) -> None:
    """Write a safetensors file of zeros by hand: no torch here."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


LAYERS = {"blocks.0.to_q.weight": (8, 4), "blocks.1.to_q.weight": (8, 4), "norm.weight": (4,), "out.weight": (2, 8)}


def write_checkpoint(folder: Path, fill: str = "") -> None:
    """Write a checkpoint of the toy family."""
    parts = {
        "transformer": ("diffusion_pytorch_model", {"_class_name": "ToyTransformer", "sigma": "INFINITE"}),
        "vae": ("diffusion_pytorch_model", {"_class_name": "ToyVAE"}),
        "text_encoder": ("model", {"architectures": ["ToyText"]}),
    }
    for name, (stem, config) in parts.items():
        write_weights(folder / name / f"{stem}.safetensors", **LAYERS, **({fill: (1,)} if fill else {}))
        text = json.dumps(config).replace('"INFINITE"', "-Infinity")
        (folder / name / "config.json").write_text(text)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    (folder / "tokenizer" / "merges.txt").write_text("a b")
    index = {
        "_class_name": "ToyPipeline",
        "transformer": ["diffusers", "ToyTransformer"],
        "vae": ["diffusers", "ToyVAE"],
        "text_encoder": ["transformers", "ToyText"],
        "image_encoder": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "README.md").write_text("about")


class Toy(Family):
    name = "toy"
    title = "Toy Video"
    flavours = {"1.0": Flavour("Maker/Toy-1", licence_url="https://example.org/licence")}
    classes = {
        "transformer": frozenset({"ToyTransformer"}),
        "vae": frozenset({"ToyVAE"}),
        "text_encoder": frozenset({"ToyText"}),
    }
    folders = {"transformer": ("transformer",), "vae": ("vae",), "text_encoder": ("text_encoder", "tokenizer")}
    rules = VideoRules(8, 1, 32, 8, 32, 128, 25.0)
    lora_targets = {"attention": LoRATarget(r"blocks\.\d+\.to_q"), "out": LoRATarget("out")}
    default_lora_target = "attention"
    miniature_version = 1
    built = 0

    def build_miniature(self, folder, seed, task="t2v"):
        type(self).built += 1
        write_checkpoint(folder, fill=f"seed{seed}")

    def _no(self, *args, **kwargs):
        raise NotImplementedError

    load = encode_text = encode_video = draw_sigmas = predict = draw = save_adapter = load_adapter = _no


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    return Desk(folder)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(Toy, "built", 0)
    monkeypatch.setitem(families._registered, "toy", Toy())
    return families.family("toy")


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    write_checkpoint(folder)
    return folder


class Hub:
    """A hub on this machine with one repository. `log` lists (method, path) of every request."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.commit = folder, [], "a" * 40
        self.refuse: dict[str, tuple[int, str]] = {}
        self.break_off: str = ""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def listing(self, repository):
        files = []
        for path in sorted(p for p in self.folder.rglob("*") if p.is_file()):
            entry = {"rfilename": str(path.relative_to(self.folder)), "size": path.stat().st_size, "blobId": "b" * 40}
            if path.suffix == ".safetensors":
                entry["lfs"] = {"sha256": digest_file(path), "size": path.stat().st_size, "pointerSize": 130}
            files.append(entry)
        return {"id": repository, "sha": self.commit, "siblings": files}

    def handler(self):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body):
                path = unquote(urlsplit(self.path).path)
                hub.log.append((self.command, path))
                for part, (status, code) in hub.refuse.items():
                    if part in path:
                        return self.send(status, b"", {"X-Error-Code": code}, body)
                if path.startswith("/api/models/"):
                    repository = "/".join(path.split("/")[3:5])
                    return self.send(200, json.dumps(hub.listing(repository)).encode(), {}, body)
                name = path.split("/resolve/")[1].partition("/")[2]
                file = hub.folder / name
                if not file.is_file():
                    return self.send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
                data = file.read_bytes()
                large = file.suffix == ".safetensors"
                etag = hashlib.sha256(data).hexdigest() if large else hashlib.sha1(data).hexdigest()
                headers = {"ETag": f'"{etag}"', "X-Repo-Commit": hub.commit, "Accept-Ranges": "bytes"}
                if body and hub.break_off and hub.break_off in name:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data[:10])
                    self.close_connection = True
                    return None
                return self.send(200, data, headers, body)

            def send(self, status, data, headers, body):
                self.send_response(status)
                for key, value in (headers | {"Content-Length": str(len(data))}).items():
                    self.send_header(key, value)
                self.end_headers()
                if body:
                    self.wfile.write(data)

        return Handler


@pytest.fixture
def hub(tmp_path, monkeypatch, toy):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    folder = tmp_path / "served"
    write_checkpoint(folder)
    served = Hub(folder)
    monkeypatch.setenv("HF_ENDPOINT", served.url)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def weights():
    return write_weights


@pytest.fixture
def checkpoints():
    return write_checkpoint
