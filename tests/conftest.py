"""What holds for the whole suite."""

import gc
import os
import resource
import signal
import sys

import pytest

# before torch is imported: the tests run in several processes, whose threads would wait for one another
os.environ.setdefault("OMP_NUM_THREADS", "1")

# whoever starts the tests in the background of a shell hands on that interrupts are ignored; some tests send them
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# thousands of stores are opened in one process, more than the thousand descriptors that many systems begin with
_, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(_most, 20_000) if _most != resource.RLIM_INFINITY else 20_000, _most))

_looked_through = 0  #: how many modules were imported when garbage was last told from what stays


def _leave_imports_out_of_collections():
    """Freeze what was imported, once much has been.

    Releasing a model looks for cycles among all objects. With the million of the libraries and of the tests around,
    each time takes longer than what most tests do.
    """
    global _looked_through
    if len(sys.modules) - _looked_through > 50:
        gc.collect()
        gc.freeze()
        _looked_through = len(sys.modules)


def pytest_collection_finish():
    _leave_imports_out_of_collections()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown():
    """After a test's own objects are gone: libraries import parts of themselves when these are first used."""
    result = yield
    _leave_imports_out_of_collections()
    return result
