"""From the painted scene to a photograph: background, light and camera."""

import cv2
import numpy as np

from phantom.drawing.shot import CAMERAS, Shot


def background(shot: Shot, canvas: int) -> np.ndarray:
    """Return a soft gradient, float32 [canvas, canvas, 3]."""
    hue, saturation, value = shot.background
    pixel = np.array([[[hue * 360, saturation, value * 255]]], np.float32)
    colour = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]
    axis = np.linspace(-1, 1, canvas, dtype=np.float32)
    ramp = 1 + 0.14 * (np.sign(shot.light[0]) * axis[None, :] - axis[:, None])
    return colour * ramp[..., None]


def photograph(scene: np.ndarray, shot: Shot, size: int) -> np.ndarray:
    """Return the scene at `size` px as the shot's camera takes it, uint8."""
    camera, rng = CAMERAS[shot.camera], np.random.default_rng([shot.seed, 8])
    image = cv2.resize(scene, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    warm = 0.055 * shot.light_temperature
    gain = np.array([1 + warm, 1.0, 1 - warm], np.float32) * np.array(camera.cast, np.float32) * shot.light_intensity
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    fall = 1 + 0.10 * (shot.light[0] * axis[None, :] + shot.light[1] * axis[:, None])
    image = (image * fall[..., None] * gain - 128) * camera.contrast + 128
    if camera.sharpen:
        image += camera.sharpen * (image - cv2.GaussianBlur(image, (0, 0), 0.009 * size))
    if camera.blur * size > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), camera.blur * size)
    image += rng.standard_normal((size, size, 1), np.float32) * camera.noise
    shown = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    return _jpeg(shown, camera.jpeg)


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    _, code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])
