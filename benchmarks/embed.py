"""Three recognisers over photographs: decode, detect and align once, against once per recogniser and image.

    MEMA_ASSETS=../shared OMP_NUM_THREADS=2 python -m benchmarks.embed

The peer does what three calls of DeepFace.represent do, one per recogniser: each reads the file, detects, aligns and
runs its network on one face. It is built from the parts that ours uses, so that the embeddings can be asserted equal;
DeepFace itself has other weights and another alignment. The limit is decoding plus the networks alone. With
`--deepface`, DeepFace.represent itself is timed as well, with its Dlib model (weights of the assets), three times an
image, without comparing what it returns.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from models.diffusion.images import decode
from models.identity.recogniser import Recogniser, load_recogniser
from models.photos.alignment import Detector, crop_largest, load_dlib

SIZE_PX = 256
TARGET_RATIO = 5.0
RECOGNISERS = {
    "arcface": "insightface/arcface_mobilefacenet.onnx",
    "cosface": "insightface/cosface_reid0095.onnx",
    "dlib": "dlib/dlib_face_recognition_resnet_model_v1.dat",
}
Embeddings = dict[str, np.ndarray]


def embed_once(paths: Sequence[Path], find: Detector, recognisers: dict[str, Recogniser]) -> Embeddings:
    """Return every recogniser's embeddings, each file read, searched and aligned once."""
    faces = [crop_largest(decode(path.read_bytes()), find, SIZE_PX).image for path in paths]
    return {name: recogniser.embed(faces) for name, recogniser in recognisers.items()}


def embed_each_time(paths: Sequence[Path], find: Detector, recognisers: dict[str, Recogniser]) -> Embeddings:
    """Return the same by one call per recogniser and image, as DeepFace.represent is called."""
    return {
        name: np.concatenate(
            [
                recogniser.embed([crop_largest(decode(path.read_bytes()), find, SIZE_PX).image])
                for path in paths
            ]
        )
        for name, recogniser in recognisers.items()
    }


def represent(paths: Sequence[Path], weights: Path, folder: Path) -> Callable[[], None]:
    """Return a function that calls DeepFace.represent three times an image; its networks are loaded already."""
    place = folder / ".deepface/weights"
    place.mkdir(parents=True)
    (place / weights.name).symlink_to(weights.resolve())
    os.environ["DEEPFACE_HOME"], os.environ["DEEPFACE_BACKEND_ENGINE"] = str(folder), "onnx"
    from deepface import DeepFace

    def run() -> None:
        for path in paths:
            for _ in RECOGNISERS:
                DeepFace.represent(
                    str(path), model_name="Dlib", detector_backend="opencv", enforce_detection=False
                )

    DeepFace.represent(str(paths[0]), model_name="Dlib", detector_backend="opencv", enforce_detection=False)
    return run


def seconds(work: Callable[[], Any]) -> float:
    """Return how long one run takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def usable(paths: Sequence[Path], find: Detector) -> list[Path]:
    """Return the photographs on which a face is found."""
    return [path for path in paths if find(decode(path.read_bytes()))]


def main(
    num_images: Annotated[int, typer.Option(help="photographs")] = 24,
    rounds: Annotated[int, typer.Option(help="interleaved repetitions; medians are printed")] = 5,
    deepface: Annotated[bool, typer.Option(help="also time DeepFace.represent")] = False,
) -> None:
    """Assert equal embeddings, then print medians and ratios; exit 1 below the target."""
    assets = Path(os.environ.get("MEMA_ASSETS", "../shared"))
    find = load_dlib("")
    paths = usable(sorted((assets / "data/lfw_10x10").glob("*/*.jpg"))[: num_images + 8], find)[:num_images]
    recognisers = {name: load_recogniser(assets / "weights" / file) for name, file in RECOGNISERS.items()}
    ours, peer = (f(paths, find, recognisers) for f in (embed_once, embed_each_time))
    for name in recognisers:
        np.testing.assert_allclose(
            ours[name], peer[name], atol=1e-4, err_msg=f"{name}: the embeddings differ"
        )
    faces = [crop_largest(decode(path.read_bytes()), find, SIZE_PX).image for path in paths]

    def limit() -> None:
        for path in paths:
            cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        for recogniser in recognisers.values():
            recogniser.embed(faces)

    works: dict[str, Callable[[], Any]] = {
        "ours": lambda: embed_once(paths, find, recognisers),
        "peer": lambda: embed_each_time(paths, find, recognisers),
        "limit": limit,
    }
    with tempfile.TemporaryDirectory() as folder:
        if deepface:
            works["deepface"] = represent(paths, assets / "weights" / RECOGNISERS["dlib"], Path(folder))
        took = {name: [] for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                took[name].append(seconds(work))
    middle = {name: statistics.median(values) for name, values in took.items()}
    ratio = middle["peer"] / middle["ours"]
    print(
        json.dumps(
            {
                "images": len(paths),
                "ms_per_image": {name: round(1000 * value / len(paths), 1) for name, value in middle.items()},
                "ratios": {n: round(v / middle["ours"], 2) for n, v in middle.items() if n != "ours"},
                "share_of_limit": round(middle["limit"] / middle["ours"], 2),
                "target_ratio": TARGET_RATIO,
            }
        )
    )
    sys.exit(int(ratio < TARGET_RATIO))


if __name__ == "__main__":
    typer.run(main)
