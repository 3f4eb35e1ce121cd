"""A Gaussian blur of the whole face."""

import cv2
import numpy as np

from models.methods.method import Images, Irreversible, Passwords, share_of_width


class GaussianBlur(Irreversible):
    """A Gaussian blur; `sigma` is a share of the image's width."""

    def __init__(self, sigma: float = 0.05) -> None:
        self._sigma = share_of_width("sigma", sigma, 1)

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, None]:
        """Return the images blurred; the border is mirrored."""
        sigma = self._sigma * images.shape[2]
        blurred = [cv2.GaussianBlur(image, (0, 0), sigma) for image in images]
        return np.stack(blurred) if blurred else images.copy(), None


METHOD = GaussianBlur
