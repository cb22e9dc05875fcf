"""Workers of the training data loader."""

import subprocess
import sys

import pytest

CUT_OFF = """
import os, socket
from multiprocessing import resource_sharer
from vidsemi.data.loader import start_loader_worker

start_loader_worker(0)
shared = [resource_sharer.DupFd(os.pipe()[0]) for _ in range(20)]
for _ in shared:  # as Ctrl-C leaves a connection
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(resource_sharer._resource_sharer._address)
    caller.close()
shared[0].detach()  # is served after those
{after}
"""


@pytest.mark.slow
def test_a_worker_is_silent_about_a_closed_connection():
    done = subprocess.run([sys.executable, "-c", CUT_OFF.format(after="")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_worker_prints_other_errors():
    hook = "import sys; sys.excepthook(KeyError, KeyError('lost'), None)"
    done = subprocess.run([sys.executable, "-c", CUT_OFF.format(after=hook)], capture_output=True, text=True)
    assert done.stderr == "KeyError: 'lost'\n"
