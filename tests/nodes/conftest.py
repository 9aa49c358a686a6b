"""What the tests of all nodes share."""

import json
import os
import subprocess
import sys

import pytest

#: runs one text of Python after the other; what any of them prints goes to standard error
_SERVER = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    exec(json.loads(line), {})
    print("done", file=answers, flush=True)
"""


@pytest.fixture(scope="session")
def elsewhere():
    """Run Python in another process, where sets have other orders: `elsewhere(code)`.

    It is one process for the whole session: most of what it would do is to import the libraries.
    """
    env = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
    with subprocess.Popen([sys.executable, "-c", _SERVER], **how) as process:

        def run(code):
            process.stdin.write(json.dumps(code) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n", "the code failed: see standard error"

        yield run
        process.stdin.close()
