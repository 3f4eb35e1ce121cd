"""Writing samples as lossless PNG: OpenCV in threads, as sampling does it, against Pillow.

Pillow is called as people call it, one picture after the other, and once more in as many threads as ours. Pixels are
compared after decoding, and the sizes of the files. The limit is OpenCV's encoder alone, its time in one thread divided
by the threads.
"""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import cv2
import numpy as np
import typer
from PIL import Image

from benchmarks import harness
from benchmarks.harness import Case
from benchmarks.studies.pictures import pictures_of
from models.images import PNG, PngWriter, decode, num_threads

DISTINCT = 24  # pictures; more of them change nothing
SIZE_TOLERANCE = 0.05
TARGETS = {"Pillow": 10.0}


def by_pillow(pictures: np.ndarray, level: int, threads: int = 1) -> list[bytes]:
    """Return the pictures as PNG by Pillow at a compression level (its own is 6), in threads if told."""

    def encode(picture: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", compress_level=level)
        return file.getvalue()

    if threads == 1:
        return [encode(picture) for picture in pictures]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(encode, pictures))


def ours(pictures: np.ndarray) -> list[bytes]:
    """Return the pictures as PNG, as a shard of samples is written."""
    with PngWriter() as writer:
        writer.write(pictures)
        return writer.collect()


def alone(pictures: np.ndarray) -> None:
    """Encode in one thread without anything around it."""
    for picture in pictures:
        cv2.imencode(".png", picture, PNG)


def case(num: int, size_px: int) -> Case:
    """Return the writing of `num` pictures; Pillow writes a part, and its time is scaled."""
    kind, distinct = pictures_of(min(DISTINCT, num), size_px)
    pictures = distinct[np.arange(num) % len(distinct)]

    def check() -> str:
        own, pillow = ours(distinct), by_pillow(distinct, 6)
        for picture, file in zip(distinct, own, strict=True):
            assert np.array_equal(decode(file), picture)
        size = sum(map(len, own)) / sum(map(len, pillow))
        within = "within" if abs(size - 1) <= SIZE_TOLERANCE else "missing"
        return f"the same pixels after decoding; {size:.3f} of Pillow's size, {within} the 5 % asked for"

    threads = num_threads()
    part = len(distinct) / num
    return Case(
        "image_writer", f"{num} {kind} of {size_px} px",
        ours=lambda: ours(pictures),
        peers={
            "Pillow": lambda: by_pillow(distinct, 6),
            "Pillow level 1": lambda: by_pillow(distinct, 1),
            f"Pillow, {threads} threads": lambda: by_pillow(distinct, 6, threads),
        },
        check=check, limit=lambda: alone(pictures), limit_name=f"OpenCV's encoder alone in {threads} threads",
        targets=TARGETS, on_cpu=True,
        scale={"Pillow": part, "Pillow level 1": part, f"Pillow, {threads} threads": part, "limit": threads},
    )  # fmt: skip


def main(
    images: Annotated[int, typer.Option(min=1)] = 1000,
    size_px: Annotated[int, typer.Option(min=64)] = 512,
    rounds: harness.Rounds = 5,
    out: harness.Out = None,
) -> None:
    """Assert equal pixels, then let ours, Pillow and the bare encoder take turns."""
    harness.report(case(images, size_px), rounds, out)


if __name__ == "__main__":
    typer.run(main)
