"""The similarity that two people reach at a false match rate of 1e-3, for a judge of `mema deid`'s results.

python -m benchmarks.studies.judge_threshold RECOGNISER FOLDER... prints it with n and an interval over people: each
picture of FOLDER is taken for another person. TAR is that of the folders of folders given by --people, one person each.
"""

import itertools
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from models.identity.recogniser import Recogniser, load_recogniser
from models.photos.alignment import packaged_predictor
from models.photos.detectors import Hog
from models.photos.every_face import Seeker

FMR, RESAMPLES = 1e-3, 200


def embeddings(files: list[Path], seeker: Seeker, judge: Recogniser) -> np.ndarray:
    """Return the embeddings of the photos whose largest face has known eyes, as models.concealing.look takes them."""
    pictures, eyes = [], []
    for file in files:
        picture = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)  # pyright: ignore
        known = next((face.geometry for face in seeker.faces(picture) if face.geometry), None)
        if known is not None:
            pictures.append(picture)
            eyes.append(known.eyes)
    return judge.embed_at(pictures, eyes)


def threshold(vectors: np.ndarray, rows: np.ndarray) -> float:
    """Return the cosine above which a share FMR of the pairs of different rows lies."""
    cosines = vectors[rows] @ vectors[rows].T
    different = rows[:, None] < rows[None]
    return float(np.quantile(cosines[different], 1 - FMR))


def main(
    folders: Annotated[list[Path], typer.Argument(help="Photographs, each of another person.")],
    judge: Annotated[Path | None, typer.Option(help="The recogniser; else dlib's, packaged.")] = None,
    people: Annotated[list[Path], typer.Option(help="Folders with a folder for each person.")] = [],  # noqa: B006
) -> None:
    """Print threshold, interval and the true match rate at it."""
    network = load_recogniser(judge or packaged_predictor().with_name("dlib_face_recognition_resnet_model_v1.dat"))
    seeker = Seeker((Hog(0.0),), 80)
    files = [file for folder in folders for file in sorted(folder.rglob("*.jpg"))]
    vectors = embeddings(files, seeker, network)
    everyone = np.arange(len(vectors))
    at = threshold(vectors, everyone)
    generator = np.random.default_rng(0)
    drawn = [threshold(vectors, generator.choice(everyone, len(everyone))) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    pairs = len(everyone) * (len(everyone) - 1) // 2
    print(f"threshold {at:.3f} [{low:.3f}, {high:.3f}] at FMR {FMR}: {len(everyone)} people, {pairs} pairs")
    for folder in people:
        known = [
            embeddings(sorted(one.glob("*.jpg")), seeker, network) for one in sorted(folder.iterdir()) if one.is_dir()
        ]
        same = [[float(a @ b) >= at for a, b in itertools.combinations(one, 2)] for one in known if len(one) > 1]
        drawn = [_share([same[i] for i in generator.integers(len(same), size=len(same))]) for _ in range(1000)]
        low, high = np.quantile(drawn, (0.025, 0.975))
        pairs = sum(map(len, same))
        print(f"{folder.name}: {_share(same):.3f} [{low:.3f}, {high:.3f}] of {pairs} pairs of {len(same)} people match")


def _share(groups: list[list[bool]]) -> float:
    return sum(map(sum, groups)) / sum(map(len, groups))


if __name__ == "__main__":
    typer.run(main)
