"""DeepFace's own classes, batched, give what DeepFace gives one by one."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.attributes import deepface


def test_missing_weights_are_named_and_nothing_is_downloaded(tmp_path):
    with pytest.raises(ValueError, match=r"lacks age_model_weights\.onnx"):
        deepface.estimate([np.zeros((96, 96, 3), np.uint8)], tmp_path)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif("MEMA_ASSETS" not in os.environ, reason="set MEMA_ASSETS to the folder of photographs and networks")
def test_real_faces_in_batches_and_alone(monkeypatch):
    assets = Path(os.environ["MEMA_ASSETS"])
    files = sorted((assets / "data/lfw_10x10").rglob("*.jpg"))[:5]
    faces = [cv2.imread(str(file))[60:190, 60:190, ::-1] for file in files]
    monkeypatch.setattr(deepface, "BATCH", 2)
    ages, genders = deepface.estimate(faces, assets / "weights/deepface")
    alone = [deepface.estimate([face], assets / "weights/deepface") for face in faces]
    np.testing.assert_allclose(ages, [age[0] for age, _ in alone], atol=0.02)
    assert genders == [gender[0] for _, gender in alone]
    assert genders.count("male") >= 4
    assert (ages > 20).all()
