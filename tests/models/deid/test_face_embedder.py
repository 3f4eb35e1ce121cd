"""The loss recogniser in torch gives the embeddings of the ONNX file, and gradients."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.deid.face_embedder import FaceEmbedder, load_face_embedder, resize_weights
from models.identity.recogniser import OnnxRecogniser
from models.images import decode
from models.photos.alignment import centre_square
from tests.toys.generator import coloured_faces

ARCFACE = Path("data/phantom/twins/recognisers/arcface.onnx")


def faces(size: int) -> np.ndarray:
    """Eight smooth pictures with detail at the scale of a face's."""
    return np.stack(
        [
            cv2.GaussianBlur(cv2.resize(face, (size, size), interpolation=cv2.INTER_CUBIC), (0, 0), size / 60)
            for face in coloured_faces()
        ]
    )


def to_tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def differences(path: Path, images: np.ndarray) -> tuple[float, float]:
    """Return the largest difference of a number, and the smallest cosine, over the images."""
    wanted = OnnxRecogniser(path).embed(images)
    found = load_face_embedder(path)(to_tensor(images)).numpy()
    return float(np.abs(found - wanted).max()), float((found * wanted).sum(1).min())


@pytest.mark.parametrize("size", [112, 128, 256])
def test_the_twin_gives_the_same_embedding(size):
    largest, cosine = differences(ARCFACE, faces(size))
    assert largest < 1e-3
    assert cosine > 0.99999


def test_enlarged_faces_differ_by_opencvs_rounding_alone():
    """OpenCV's 8-bit bilinear enlargement cuts the last bits off, by an eighth of a grey level on average."""
    largest, cosine = differences(ARCFACE, faces(96))
    assert largest < 3e-3
    assert cosine > 0.9999


@pytest.mark.real
@pytest.mark.parametrize("name", ["arcface_mobilefacenet", "cosface_reid0095"])
@pytest.mark.parametrize("size", [160, 256])
def test_real_recognisers_give_the_same_embedding(assets: Path, name: str, size: int):
    files = sorted((assets / "data/lfw_10x10").rglob("*.jpg"))[::25]
    photos = np.stack([centre_square(decode(file.read_bytes()), size).image for file in files])
    largest, cosine = differences(assets / f"weights/insightface/{name}.onnx", photos)
    assert largest < 1e-3
    assert cosine > 0.9999


@pytest.mark.parametrize(("source", "target"), [(96, 112), (112, 112), (150, 112), (256, 112)])
def test_resizing_is_opencvs(source, target):
    image = np.random.default_rng(1).normal(size=(source, source)).astype(np.float32)
    interpolation = cv2.INTER_AREA if source > target else cv2.INTER_LINEAR
    wanted = cv2.resize(image, (target, target), interpolation=interpolation)
    weights = resize_weights(source, target).numpy()
    np.testing.assert_allclose(weights @ image @ weights.T, wanted, atol=1e-5)


def test_following_the_gradient_makes_two_faces_alike():
    embedder = load_face_embedder(ARCFACE).train()
    images = to_tensor(faces(96))
    target, x = embedder(images[:1]), images[1:2].clone().requires_grad_()
    before = (embedder(x) * target).sum()
    for _ in range(5):
        (gradient,) = torch.autograd.grad(-(embedder(x) * target).sum(), x)
        x = (x - 0.01 * gradient.sign()).detach().requires_grad_()
    assert (embedder(x) * target).sum() > before + 0.2
    assert not any(parameter.requires_grad for parameter in embedder.parameters())
    assert not embedder.training


def test_embeddings_are_unit_and_do_not_depend_on_the_batch():
    embedder, images = load_face_embedder(ARCFACE), to_tensor(faces(96))
    whole = embedder(images)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(8))
    torch.testing.assert_close(embedder(images[3:4]), whole[3:4], rtol=1e-4, atol=1e-5)


def test_what_is_no_recogniser_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"loss recogniser: .*missing\.onnx is no ONNX file"):
        load_face_embedder(tmp_path / "missing.onnx")
    embedder = load_face_embedder(ARCFACE)
    assert isinstance(embedder, FaceEmbedder)
    with pytest.raises(ValueError, match=r"96 x 80 px; give square"):
        embedder(torch.zeros(1, 3, 96, 80))
