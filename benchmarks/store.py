"""How long a fresh process takes to open a store and look up 10 to 100,000 records, and how long publishing takes.

    python benchmarks/store.py [--records N] [--folder DIR]

Prints medians of five in milliseconds. The store is made in DIR (default: a temporary folder) and removed afterwards.
"""

import argparse
import hashlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vflow.engine.store import Record, Store

_LOOKUP = """
import sys, time, hashlib
began = time.perf_counter()
import pydantic, pydantic.main
pydantic_done = time.perf_counter()
from pathlib import Path
from vflow.engine.store import Store
imported = time.perf_counter()
keys = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(int(sys.argv[2]))]
ready = time.perf_counter()
found = Store(Path(sys.argv[1])).lookup(keys, check_blobs=sys.argv[3] == "check")
looked = time.perf_counter()
assert len(found) == (len(keys) if sys.argv[4] == "there" else 0)
outputs = [record.output for record in found.values()]
parsed = time.perf_counter()
memory = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
print(imported - pydantic_done, looked - ready, parsed - looked, memory)
"""


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def record_of(number: int, store: Store, blobs: bool) -> Record:
    blob = [store.put_bytes(str(number).encode(), ".safetensors")] if blobs else []
    return Record(
        key=key_of(number),
        node_type="EncodeVideo",
        version=1,
        output=[one.to_json() for one in blob] or {"type": "Text", "value": {"text": str(number)}},
        seconds=1.0,
        created=time.time(),
        blobs=blob,
        environment={"vflow": "0.1.0", "torch": "2.13.0", "diffusers": "0.42.1", "transformers": "5.23.0"},
        settings={"posterior": "sample", "seed": 0},
        inputs={"vae": key_of(-1)},
        graph="ltx2_lora",
        node="latents",
    )


def publish(store: Store, number: int, blobs: bool) -> None:
    began = time.perf_counter()
    records = [record_of(n, store, blobs) for n in range(number)]
    put = time.perf_counter()
    for start in range(0, number, 5000):
        store.publish_many(records[start : start + 5000])
    done = time.perf_counter()
    print(f"{number} blobs put: {(put - began) * 1e3:.0f} ms; records published in groups: {(done - put) * 1e3:.0f} ms")
    began = time.perf_counter()
    for record in records[:300]:
        store.publish(record)
    print(f"published one by one: {(time.perf_counter() - began) / 300 * 1e3:.2f} ms each")


def look_up(folder: Path, number: int, check: str = "check", there: str = "there") -> None:
    command = [sys.executable, "-c", _LOOKUP, str(folder), str(number), check, there]
    rows = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(5)]
    imported, looked, parsed, memory = (statistics.median(map(float, column)) for column in zip(*rows, strict=True))
    print(
        f"{number:>7} keys ({there}, blobs {check}ed): import beyond pydantic {imported * 1e3:.0f} ms, "
        f"lookup {looked * 1e3:.1f} ms, outputs parsed {parsed * 1e3:.0f} ms, {memory:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        store = Store(folder / "store")
        publish(store, arguments.records, blobs=True)
        store.close()
        for number in (10, 30, 1000, 10_000, 100_000):
            if number <= arguments.records:
                look_up(folder / "store", number)
        look_up(folder / "store", arguments.records, check="not check")
        look_up(folder / "empty", arguments.records, there="absent")
        shutil.rmtree(folder / "store" / "index")
        began = time.perf_counter()
        Store(folder / "store").lookup(map(key_of, range(arguments.records)))
        print(f"index lost: lookup of all {(time.perf_counter() - began) * 1e3:.0f} ms")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
