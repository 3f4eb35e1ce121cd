"""Pictures inside the page, as data: URIs, with alternative texts that name nobody."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from models.images import decode
from models.report.markup import Markup, tag

SHOWN_PX = 96
LARGEST_PX = 192  # twice what is shown: sharp in print, and the page stays small
JPEG_QUALITY = 88
WITHHELD = "withheld: resembles a patient"


@dataclass(frozen=True)
class Face:
    """An encoded picture, what it shows, and the line below it; no picture where it must not be seen."""

    image: bytes | None
    alt: str
    caption: str = ""


def data_uri(image: bytes) -> str:
    """Return a small picture byte by byte, a large one as a small JPEG."""
    rgb = decode(image)
    side = max(rgb.shape[:2])
    if side <= LARGEST_PX and image.startswith(b"\x89PNG"):
        return "data:image/png;base64," + base64.b64encode(image).decode()
    scale = min(1.0, LARGEST_PX / side)
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    return jpeg_uri(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def jpeg_uri(rgb: UInt8[np.ndarray, "h w 3"]) -> str:
    """Return a picture as JPEG in a data: URI."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    done, buffer = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(buffer.tobytes()).decode()


def picture(face: Face) -> Markup:
    """Return the picture with its caption, or a grey place that says why there is none."""
    if face.image is None:
        shown = tag("div", face.alt, class_="withheld")
    else:
        shown = tag("img", src=data_uri(face.image), alt=face.alt, width=SHOWN_PX, height=SHOWN_PX)
    return tag("figure", shown, tag("figcaption", face.caption) if face.caption else None, class_="face")


def pictures(faces: Sequence[Face], class_: str = "faces") -> Markup:
    """Return pictures side by side."""
    return tag("div", *(picture(face) for face in faces), class_=class_)
