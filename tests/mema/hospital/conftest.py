from pathlib import Path

import pytest

from tests.mema.hospital.workspace import Hospital, lay_out
from tests.toys.deid import toy_deidentifier


@pytest.fixture(scope="package")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_deidentifier(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: Path) -> Hospital:
    monkeypatch.chdir(tmp_path)
    return lay_out(toy)
