"""Recognisers loaded through insightface's model zoo."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.identity.network import build_recogniser
from models.identity.recogniser import OnnxRecogniser, load_recogniser
from models.photos.alignment import crop_by_eyes
from models.photos.upright import load_upright_aligner
from models.training.augmentation import to_signal
from phantom.twins.identity.training import pair_similarities
from phantom.twins.onnx_export import export_onnx
from tests.worlds.aligned_faces import aligned_faces


@pytest.fixture(scope="module")
def network():
    net = build_recogniser(1, (8, 8, 16, 16), (1, 1, 1), "flatten")
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            assert module.running_var is not None
            module.running_var.fill_(0.5)
    return net.eval()


@pytest.fixture(scope="module")
def twin(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("twin") / "arcface.onnx"
    export_onnx(network, path, torch.zeros(1, 3, 112, 112), alignment="frame")
    return path


def faces(size: int, num: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([cv2.resize(rng.integers(0, 255, (9, 9, 3), np.uint8), (size, size)) for _ in range(num)])


def test_embeds_as_torch_does_colours_in_order_and_normalised(twin, network):
    images = faces(112, 70)
    found = load_recogniser(twin).embed(images)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(network(to_signal(torch.from_numpy(images), 112))).numpy()
    assert (np.einsum("nd,nd->n", found, expected) > 0.999).all()
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    swapped = load_recogniser(twin).embed(images[..., ::-1])
    assert np.einsum("nd,nd->n", found, swapped).mean() < 0.999


def test_a_face_within_a_picture_is_seen_as_its_crop_is(twin):
    picture, eyes = faces(300, 1)[0], np.array([[120.0, 90.0], [170.0, 110.0]])
    recogniser = load_recogniser(twin)
    crop = crop_by_eyes(picture, eyes, 112).image
    assert float(recogniser.embed_at([picture], [eyes])[0] @ recogniser.embed([crop])[0]) > 0.9999
    assert recogniser.embed_at([picture] * 70, [eyes] * 70).shape == recogniser.embed([crop] * 70).shape


def test_takes_any_square_size_list_or_array(twin):
    recogniser = load_recogniser(twin)
    large = faces(448)
    small = np.stack([cv2.resize(image, (112, 112), interpolation=cv2.INTER_AREA) for image in large])
    assert (np.einsum("nd,nd->n", recogniser.embed(list(large)), recogniser.embed(small)) > 0.999).all()
    assert recogniser.embed([]).shape == (0, 128)


def test_the_file_says_how_it_wants_its_faces(twin, network, tmp_path):
    export_onnx(network, tmp_path / "published.onnx", torch.zeros(1, 3, 112, 112))
    assert OnnxRecogniser(twin).alignment == "frame"
    published = OnnxRecogniser(tmp_path / "published.onnx")
    assert published.alignment == "template"
    images = faces(96)
    assert np.einsum("nd,nd->n", published.embed(images), load_recogniser(twin).embed(images)).max() < 0.9999
    forced = load_recogniser(tmp_path / "published.onnx", alignment="frame")
    assert np.array_equal(forced.embed(images), load_recogniser(twin).embed(images))


def test_template_of_128_px_has_its_eyes_where_insightface_puts_them(network, tmp_path):
    face_align = pytest.importorskip("insightface.utils.face_align")
    from models.identity.recogniser import _template_eyes

    for size in (112, 128):
        matrix = face_align.estimate_norm(face_align.arcface_dst.copy(), size)
        eyes = face_align.arcface_dst[:2] @ matrix[:, :2].T + matrix[:, 2]
        assert np.allclose(_template_eyes(size) * size, eyes, atol=1e-3)


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no file .*none\.onnx; train the twins"):
        load_recogniser(tmp_path / "none.onnx")
    export_onnx(torch.nn.Flatten(), tmp_path / "flat.onnx", torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="is no recogniser"):
        load_recogniser(tmp_path / "flat.onnx")


@pytest.mark.real
@pytest.mark.parametrize("name", ["arcface_mobilefacenet", "cosface_reid0095"])
def test_published_recognisers_tell_photographs_of_people_apart(assets: Path, name: str):
    recogniser = load_recogniser(assets / "weights/insightface" / f"{name}.onnx")
    align, faces, people = load_upright_aligner("dlib", "", 128), [], []
    folders = sorted(path for path in (assets / "data/lfw_10x10").iterdir() if path.is_dir())
    for person, folder in enumerate(folders[:5]):
        found = aligned_faces(sorted(folder.glob("*.jpg"))[:6], align)[:4]
        faces += found
        people += [person] * len(found)
    assert len(faces) == 20
    genuine, impostor = pair_similarities(recogniser.embed(faces), np.array(people))
    assert np.median(genuine) > 0.5
    assert np.median(genuine) > impostor.max()
