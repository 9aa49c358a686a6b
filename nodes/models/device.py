"""Which devices this machine has, decided without torch: what plans need to know."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

#: how a device is written in a graph
DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"


def has_accelerator() -> bool:
    """Tell whether a GPU that torch calls `cuda` (NVIDIA or ROCm) is visible to this process.

    A guess from the driver's files, for plans: a build of torch without CUDA does not use what is found here.
    """
    if _hidden("CUDA_VISIBLE_DEVICES"):
        return False
    if not sys.platform.startswith("linux"):
        return shutil.which("nvidia-smi") is not None
    nvidia = any(re.fullmatch(r"nvidia\d+|dxg", entry.name) for entry in _devices())
    return nvidia or (Path("/dev/kfd").exists() and not _hidden("HIP_VISIBLE_DEVICES"))


def on_accelerator(device: str) -> bool:
    """Tell whether a model placed on `device` (`auto`, `cpu`, `cuda`, `cuda:1`) will, it seems, run on a GPU."""
    return device.startswith("cuda") or (device == "auto" and has_accelerator())


def _hidden(variable: str) -> bool:
    value = os.environ.get(variable)
    return value is not None and value.strip() in ("", "-1", "NoDevFiles")


def _devices() -> list[Path]:
    folder = Path("/dev")
    return list(folder.iterdir()) if folder.is_dir() else []
