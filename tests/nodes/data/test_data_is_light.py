"""Declarations and a scan of known clips import nothing heavy."""

import subprocess
import sys

SCRIPT = """
import sys
from vflow.nodes.data import bucket_videos, prompts, scan
heavy = {"av", "numpy", "torch", "PIL", "diffusers"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_declarations_and_scanning_import_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
