"""Memory that was freed is there for the next tensor, without asking the system again."""

import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
if sys.argv[1] == "kept":
    from tasks import memory
    memory.keep_freed()
np.ones(2**24)  # 128 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    np.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(kept: str) -> int:
    """Pages that the system had to give for four arrays, of which there was one before."""
    done = subprocess.run([sys.executable, "-c", CODE, kept], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="counts a Linux process's pages")
def test_large_arrays_ask_the_system_once():
    assert pages("given back") > 200  # even where a page has 2 MiB, there are 64 in each
    assert pages("kept") < 20
