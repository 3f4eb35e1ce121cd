"""Memory that was freed is there for the next tensor, without asking the system again."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
if sys.argv[1] == "kept":
    from mema.runtime import memory
    memory.keep_freed()
def large(_=0):
    np.ones(2**24)  # 128 MiB
with ThreadPoolExecutor(1) as pool:
    call = pool.submit if sys.argv[2] == "thread" else lambda work: work()
    call(large), pool.submit(int).result()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        call(large), pool.submit(int).result()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(kept: str, where: str) -> int:
    """Pages that the system had to give for four arrays, of which there was one before."""
    command = [sys.executable, "-c", CODE, kept, where]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="counts a Linux process's pages")
@pytest.mark.parametrize("where", ["here", "thread"])
def test_large_arrays_ask_the_system_once(where):
    assert pages("given back", where) > 200  # even where a page has 2 MiB, there are 64 in each
    assert pages("kept", where) < 50
