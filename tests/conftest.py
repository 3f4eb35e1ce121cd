"""What several folders of tests need."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real photographs and networks; tests that need it are marked `real`."""
    folder = os.environ.get("MEMA_ASSETS", "")
    if not folder or not Path(folder, "data").is_dir():
        pytest.skip("MEMA_ASSETS names no folder with data/ and weights/")
    return Path(folder)


@pytest.fixture
def use_threads() -> Iterator[Callable[[int], None]]:
    """Sets how many threads PyTorch may use, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
