"""PSNR against scikit-image; the perceptual distance against its formula, and on images that get worse."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch.nn import functional as F

from models.judges.image_quality import (
    MAX_PSNR,
    SQUEEZENET,
    TWIN,
    Perceptual,
    SqueezeNet,
    caffe_input,
    load_perceptual,
    psnr,
)

ROOT = Path(__file__).parents[3]
FACE = cv2.resize(skimage.data.astronaut()[:200, 130:330], (96, 96), interpolation=cv2.INTER_AREA)
RNG = np.random.default_rng(0)


def worse() -> np.ndarray:
    return np.stack([FACE] + [cv2.GaussianBlur(FACE, (0, 0), sigma) for sigma in (0.7, 1.5, 3, 6, 12)])


def test_psnr_is_scikit_images():
    first = RNG.integers(0, 256, (5, 20, 24, 3), np.uint8)
    second = np.clip(first.astype(int) + RNG.integers(-30, 31, first.shape), 0, 255).astype(np.uint8)
    expected = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(psnr(first, second), expected)
    assert psnr(first, first).tolist() == [MAX_PSNR] * 5
    with pytest.raises(ValueError, match="images must be of one size"):
        psnr(first, second[:, :10])


def test_the_distance_is_equation_1_with_weights_of_one():
    def layers(rgb):
        return [rgb / 255, F.avg_pool2d(rgb, 2) ** 2]

    first, second = RNG.integers(1, 256, (2, 17, 8, 8, 3), np.uint8)
    found = Perceptual("test", layers).distance(first, second)
    for i in (0, 16):
        total = 0.0
        for a, b in zip(
            *(layers(torch.from_numpy(x[i : i + 1]).permute(0, 3, 1, 2).double()) for x in (first, second)), strict=True
        ):
            a, b = (x[0].numpy() / np.linalg.norm(x[0].numpy(), axis=0) for x in (a, b))
            total += float(((a - b) ** 2).sum(0).mean())
        assert found[i] == pytest.approx(total, rel=1e-4)


def check_order(perceptual: Perceptual) -> None:
    images = worse()
    found = perceptual.distance(np.stack([FACE] * len(images)), images)
    assert found[0] == 0
    assert (np.diff(found) > 0).all()
    shifted = np.clip(FACE.astype(int) + 12, 0, 255).astype(np.uint8)
    same_psnr = cv2.GaussianBlur(FACE, (0, 0), 1.5)
    pair = perceptual.distance(np.stack([FACE, FACE]), np.stack([shifted, same_psnr]))
    assert pair[0] < pair[1]  # brightness is seen less than lost detail


def test_the_twin_orders_images_that_get_worse():
    perceptual = load_perceptual(None, ROOT / "data/phantom/twins/classifier")
    assert perceptual.name == TWIN
    check_order(perceptual)


def test_a_trunk_must_be_named(tmp_path):
    with pytest.raises(ValueError, match="name squeezenet or classifier"):
        load_perceptual(None, None)
    with pytest.raises(ValueError, match=r"evaluate_reversibility\.squeezenet: no file .*absent\.pth"):
        load_perceptual(tmp_path / "absent.pth", None)


@pytest.mark.real
def test_squeezenet_sees_a_cat_and_coffee_and_orders_images(assets):
    path = assets / "weights/squeezenet_v1.0_deepcompression/squeezenet_v1.0_dc.pth"
    perceptual = load_perceptual(path, None)
    assert perceptual.name == SQUEEZENET
    check_order(perceptual)
    state = torch.load(path, weights_only=True)
    trunk = SqueezeNet().eval()
    trunk.load_state_dict({k.replace("/", "."): v.float() for k, v in state.items() if "conv10" not in k})
    for image, classes in ((skimage.data.chelsea(), range(281, 286)), (skimage.data.coffee(), (504, 967, 968))):
        square = image[:, (image.shape[1] - image.shape[0]) // 2 :][:, : image.shape[0]]
        rgb = (
            torch.from_numpy(cv2.resize(square, (227, 227), interpolation=cv2.INTER_AREA))
            .permute(2, 0, 1)[None]
            .float()
        )
        last = trunk(caffe_input(rgb))[-1]
        scores = F.relu(F.conv2d(last, state["conv10.weight"].float(), state["conv10.bias"].float())).mean((2, 3))
        assert set(scores[0].topk(3).indices.tolist()) & set(classes)
