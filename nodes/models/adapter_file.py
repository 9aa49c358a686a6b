"""Safetensors files whose bytes depend on their content only: the library orders metadata at random per process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vflow.engine.problems import Failure

if TYPE_CHECKING:
    import torch

_ALIGNMENT = 8


def write_safetensors(
    file: Path,
    tensors: Mapping[str, torch.Tensor],
    metadata: Mapping[str, str],
    types: Mapping[str, torch.dtype] | None = None,
) -> None:
    """Write tensors and text metadata as safetensors: equal content, equal bytes, in every process.

    `types` are those in which tensors are written, where that is not their own. What has to be copied, from a device or
    into another type, is copied one tensor at a time, so that a file may be far larger than what is left of the memory.

    The format: the header's length as 8 bytes, little-endian; the header, JSON padded with spaces so that the data
    begin at a multiple of 8; the tensors' bytes one after the other, the widest types first so that each is aligned.
    """
    import torch

    kinds = {name: (types or {}).get(name, tensor.dtype) for name, tensor in tensors.items()}
    names = sorted(tensors, key=lambda name: (-kinds[name].itemsize, name))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in names:
        begin, end = end, end + tensors[name].numel() * kinds[name].itemsize
        header[name] = {
            "dtype": _type_names()[kinds[name]],
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            plain = tensors[name].detach().to("cpu", kinds[name]).contiguous()
            out.write(plain.flatten().view(torch.uint8).numpy().data)


def read_safetensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors, on the CPU, and the metadata of a safetensors file.

    Raises:
        Failure: it is missing, or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt", device="cpu") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise Failure(f"{file} is no safetensors file: {error}", "give a file that ends in .safetensors") from error


def _type_names() -> dict[torch.dtype, str]:
    import torch

    return {
        torch.float64: "F64",
        torch.float32: "F32",
        torch.float16: "F16",
        torch.bfloat16: "BF16",
        torch.int64: "I64",
        torch.int32: "I32",
        torch.int16: "I16",
        torch.int8: "I8",
        torch.uint8: "U8",
        torch.bool: "BOOL",
    }
