"""Squares of one colour."""

import numpy as np

from models.methods.method import Images, Irreversible, Passwords, share_of_width


class Pixelation(Irreversible):
    """Squares of one colour, the mean of what they cover; `block` is their side as a share of the width."""

    def __init__(self, block: float = 0.1) -> None:
        self._block = share_of_width("block", block, 1)

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, None]:
        """Return the images pixelated; the blocks are as even as whole pixels allow."""
        size = images.shape[1]
        blocks = min(size, max(1, round(1 / self._block)))
        starts = np.ceil(np.arange(blocks) * size / blocks).astype(int)
        sides = np.diff([*starts, size])
        sums = np.add.reduceat(np.add.reduceat(images, starts, 1, np.int64), starts, 2)
        means = np.round(sums / np.multiply.outer(sides, sides)[:, :, None]).astype(np.uint8)
        return means.repeat(sides, 1).repeat(sides, 2), None


METHOD = Pixelation
