"""Age and gender by DeepFace's own ONNX classes, in batches."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

SIZE_PX = 224
BATCH = 32
WEIGHTS = ("age_model_weights.onnx", "gender_model_weights.onnx")


def estimate(images: Sequence[np.ndarray], deepface_home: Path) -> tuple[Float[np.ndarray, " n"], list[str]]:
    """Return ages in years (rounded to 0.01) and "female"/"male" of aligned RGB uint8 faces, any square size.

    The weights are looked up once per home; a missing file raises ValueError instead of a download.
    """
    age, gender = _clients(Path(deepface_home).resolve())
    ages: list[float] = []
    genders: list[str] = []
    for start in range(0, len(images), BATCH):
        batch = np.stack([_prepare(image) for image in images[start : start + BATCH]])
        ages += np.atleast_1d(age.predict(batch)).tolist()
        # DeepFace's order is Woman, Man; of a single image it returns one row without the batch axis
        scores = np.atleast_2d(gender.predict(batch))
        genders += ["female" if woman >= man else "male" for woman, man in scores]
    return np.round(np.array(ages, np.float32), 2), genders


def _prepare(rgb: np.ndarray) -> np.ndarray:
    """Return BGR in 0..1 at 224 px, as DeepFace feeds its own classes."""
    shrinking = rgb.shape[0] > SIZE_PX
    resized = cv2.resize(rgb, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return resized[..., ::-1].astype(np.float32) / 255


@functools.lru_cache(maxsize=1)
def _clients(home: Path) -> tuple[Any, Any]:
    weights = home / ".deepface" / "weights"
    for name in WEIGHTS:
        if not (weights / name).is_file():
            raise ValueError(
                f"attributes.deepface_home: {weights} lacks {name}; "
                "train the twins (make twins) or name a folder with DeepFace's ONNX weights"
            )
    os.environ["DEEPFACE_HOME"] = str(home)
    os.environ["DEEPFACE_BACKEND_ENGINE"] = "onnx"
    from deepface.models.demography.onnx.Age import ApparentAgeClient
    from deepface.models.demography.onnx.Gender import GenderClient

    return ApparentAgeClient(), GenderClient()
