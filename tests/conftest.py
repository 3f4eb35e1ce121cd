"""What several folders of tests need."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real photographs and networks; tests that need it are marked `real`."""
    folder = os.environ.get("MEMA_ASSETS", "")
    if not folder or not Path(folder, "data").is_dir():
        pytest.skip("MEMA_ASSETS names no folder with data/ and weights/")
    return Path(folder)
