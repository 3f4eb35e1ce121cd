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


def pytest_itemcollected(item: pytest.Item) -> None:
    """With several processes a file's tests stay together, and so do all that share the one Label Studio."""
    file = item.nodeid.partition("::")[0]
    shares = "label_studio" in getattr(item, "fixturenames", ()) or "label_studio" in Path(file).name
    item.add_marker(pytest.mark.xdist_group("label_studio" if shares else file))
