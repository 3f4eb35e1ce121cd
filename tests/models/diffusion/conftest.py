import numpy as np
import pytest

from tests.toys.generator import SavedGenerator, coloured_faces, save_generator


@pytest.fixture(scope="session")
def saved_generator(tmp_path_factory: pytest.TempPathFactory) -> SavedGenerator:
    return save_generator(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def faces() -> np.ndarray:
    return coloured_faces()
