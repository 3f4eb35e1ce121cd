"""What the benchmark compares: the interface of a de-identification method, and the ones built in.

A method of one's own is a class of two methods, named by its dotted path, such as `mylab.deid.Mine`:

    class Mine:
        def deidentify(self, images, passwords):
            return images, None           # new images, and what reversal needs beside them (or None)

        def recover(self, images, side_car, passwords):
            return None                   # no way back; else the images

Images are uint8 RGB [n, s, s, 3] in the common frame, eye centres at (0.30, 0.45) and (0.70, 0.45); passwords are
float32 [n, 512], standard normal, one row an image. An image's result must depend on that image and its password
alone, or a killed and resumed run would differ from an uninterrupted one.
"""

import importlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

Images = UInt8[np.ndarray, "n s s 3"]
Passwords = Float[np.ndarray, "n d"]
COMPARED_PX = 32  # side at which k-same looks for similar faces


@runtime_checkable
class Method(Protocol):
    """Anything that maps images and passwords to images of the same size.

    A method with an attribute `told_disease` that is true gets the diseases as a third argument of
    `deidentify`; the tables say so.
    """

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, Any]:
        """Return de-identified images, and what `recover` needs beside them."""
        ...

    def recover(self, images: Images, side_car: Any, passwords: Passwords) -> Images | None:
        """Return the originals as far as the passwords open them, or None where there is no way back."""
        ...


class Irreversible:
    """A method that no password undoes."""

    def recover(self, images: Images, side_car: Any, passwords: Passwords) -> None:
        """Return None: there is no way back."""


class Identity(Irreversible):
    """No change: how well everything is recognised before anything is done."""

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, None]:
        """Return the images as they are."""
        return images.copy(), None


class GaussianBlur(Irreversible):
    """A Gaussian blur; `sigma` is a share of the image's width."""

    def __init__(self, sigma: float = 0.05) -> None:
        self._sigma = _share("sigma", sigma, 1)

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, None]:
        """Return the images blurred; the border is mirrored."""
        sigma = self._sigma * images.shape[2]
        return _each(images, lambda image: cv2.GaussianBlur(image, (0, 0), sigma)), None


class Pixelation(Irreversible):
    """Squares of one colour, the mean of what they cover; `block` is their side as a share of the width."""

    def __init__(self, block: float = 0.1) -> None:
        self._block = _share("block", block, 1)

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, None]:
        """Return the images pixelated; the blocks are as even as whole pixels allow."""
        size = images.shape[1]
        blocks = min(size, max(1, round(1 / self._block)))
        starts = np.ceil(np.arange(blocks) * size / blocks).astype(int)
        sides = np.diff([*starts, size])
        sums = np.add.reduceat(np.add.reduceat(images, starts, 1, np.int64), starts, 2)
        means = np.round(sums / np.multiply.outer(sides, sides)[:, :, None]).astype(np.uint8)
        return means.repeat(sides, 1).repeat(sides, 2), None


class EyeBar(Irreversible):
    """A black bar over both eyes, as in old case reports; edges are shares of the image's width."""

    def __init__(self, top: float = 0.37, bottom: float = 0.53, left: float = 0.12, right: float = 0.88) -> None:
        edges = {"top": top, "bottom": bottom, "left": left, "right": right}
        for name, value in edges.items():
            _share(name, value, 1, zero=True)
        if top >= bottom or left >= right:
            raise ValueError(f"eye_bar: {edges} is no bar; top < bottom and left < right")
        self._top, self._bottom, self._left, self._right = top, bottom, left, right

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, None]:
        """Return the images with the bar."""
        size, barred = images.shape[2], images.copy()
        rows = slice(round(self._top * size), round(self._bottom * size))
        barred[:, rows, round(self._left * size) : round(self._right * size)] = 0
        return barred, None


class KSameMean(Irreversible):
    """The mean of the k training faces that look most like the one given (after Newton et al. 2005, k-Same).

    k-Same averages k people of the set that is released; here the k come from the training split, whose donors
    are nobody in the set released, so no pixel of the given face goes into the result and its choice of
    neighbours alone tells about it.
    """

    def __init__(self, faces: UInt8[np.ndarray, "m s s 3"], k: int = 10) -> None:
        if not 1 <= k <= len(faces):
            raise ValueError(f"k_same.k: {k} of {len(faces)} training faces; allowed: 1 to {len(faces)}")
        self._faces, self._k = faces, k
        self._compared = _compared(faces)

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, None]:
        """Return one mean face per image, rounded; of equally similar faces the first in the set are taken."""
        if images.shape[1:] != self._faces.shape[1:]:
            raise ValueError(f"k_same: images of {images.shape[1:]} and training faces of {self._faces.shape[1:]}")
        chosen = self.neighbours(images)
        means = [self._faces[rows].astype(np.float64).mean(0) for rows in chosen]
        return np.round(np.stack(means)).astype(np.uint8) if means else images.copy(), None

    def neighbours(self, images: Images) -> Int[np.ndarray, "n k"]:
        """Return the rows of the k training faces nearest to each image, by grey values at 32 px."""
        # One image at a time, so that its distances do not depend on its neighbours in the batch.
        distances = [np.square(self._compared - face).sum(1) for face in _compared(images)]
        rows = [np.argsort(distance, kind="stable")[: self._k] for distance in distances]
        return np.array(rows, np.int64).reshape(len(images), self._k)


def load_method(path: str, options: Mapping[str, Any]) -> Method:
    """Return the method of a dotted path, constructed with `options`; raises ValueError naming what is wrong."""
    module, _, name = path.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), name)(**options)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"deidentify.methods: {path!r} cannot be loaded ({error}); give package.module.Class"
        ) from None
    except TypeError as error:
        raise ValueError(f"deidentify.methods: {path} does not take {dict(options)} ({error})") from None
    if not isinstance(made, Method):
        raise ValueError(f"deidentify.methods: {path} lacks deidentify(images, passwords) or recover(...)")
    return made


def checked(images: Any, like: Images, name: str) -> Images:
    """Return what a method made, if it is as many uint8 images of the same size; raises ValueError."""
    found = (getattr(images, "dtype", None), getattr(images, "shape", None))
    if found != (np.dtype(np.uint8), like.shape):
        raise ValueError(f"{name}: made {found[0]} {found[1]} of uint8 {like.shape}; both must be the same")
    return images


def _share(name: str, value: float, most: float, *, zero: bool = False) -> float:
    if not (0 <= value <= most if zero else 0 < value <= most):
        raise ValueError(f"{name}: {value} must be a share of the image's width, above 0, at most {most}")
    return value


def _each(images: np.ndarray, change: Any) -> np.ndarray:
    return np.stack([change(image) for image in images]) if len(images) else images.copy()


def _compared(images: np.ndarray) -> Float[np.ndarray, "n p"]:
    small = [
        cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (COMPARED_PX, COMPARED_PX), interpolation=cv2.INTER_AREA)
        for image in images
    ]
    return np.array(small, np.float64).reshape(len(images), COMPARED_PX**2)
