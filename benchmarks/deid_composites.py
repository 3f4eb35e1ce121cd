"""`mema deid` on composites: does any photo leave on which a true eye is less than 95 % changed?

python -m benchmarks.deid_composites FOLDER... --model DIR [--detector ultraface --detector-path FILE] prints a line a
photo and then the table. Each photo goes through detection, plan, method and the look; `fill` is the method that
paints every face grey, which tests the net apart from the network.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.composites import Composite, TrueFace, composites, eye_mask, load_sources
from models.deid.deidentifier import load_deidentifier
from models.deid.pictures import FaceCipher, conceal
from models.identity.recogniser import load_recogniser
from models.photos.alignment import packaged_predictor
from models.photos.every_face import Face, Seeker, load_seeker
from models.photos.hiding import plan_faces
from models.photos.look import Judge, look
from models.photos.regions import Region, differs

MIN_CHANGED = 0.95


class Fill:
    """Paints each face grey."""

    image_size_px = 96

    def encrypt(self, images: np.ndarray, passwords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return grey faces, and nothing to bring them back with."""
        return np.full_like(images, 120), np.zeros((len(images), 1, 1, 1), np.float16)

    def decrypt(self, features: np.ndarray, passwords: np.ndarray) -> np.ndarray:
        """Is never asked for."""
        raise NotImplementedError


def outcome(
    photo: Composite, faces: Sequence[Face], method: FaceCipher, seeker: Seeker, judge: Judge
) -> dict:
    """Return how the photo ends under a method, and the least share of an eye pair that was changed."""
    if not faces:
        return {"end": "no_face", "worst": 0.0}
    plan = plan_faces(faces, photo.rgb.shape, method.image_size_px)
    passwords = np.random.default_rng(0).standard_normal((len(plan.places), 512)).astype(np.float32)
    after = conceal(photo.rgb, plan.places, method, passwords, plan.hidden).picture
    changed = differs(photo.rgb, after)
    shares = [float(changed[eye_mask(face, changed.shape)].mean()) for face in photo.faces]
    found = look(photo.rgb, after, faces, seeker, judge)
    end = "face_left" if found.left else "leaves"
    if end == "leaves" and found.likest >= judge.threshold:
        end = "still_recognisable"
    return {"end": end, "worst": min(shares, default=1.0), "likest": found.likest, "shares": shares,
            "replaced": len(plan.places), "hidden": len(plan.doubtful)}  # fmt: skip


def seen_by(face: TrueFace, regions: Sequence[Region]) -> set[str]:
    """Return which detectors have a square that holds both eyes and is of the face's size."""
    return {r.detector for r in regions if r.holds(face.eyes) and 0.4 < r.side / face.side_px < 2.5}


def main(
    folders: Annotated[list[Path], typer.Argument(help="Photographs of one face each.")],
    model: Annotated[Path, typer.Option(help="Folder of a de-identifier.")],
    detector: str = "dlib",
    detector_path: str = "",
    judge_threshold: float = 0.957,
    num: int = 200,
    seed: int = 11,
    smallest: int = 40,
) -> None:
    """Print each photo's end and the table."""
    seeker = load_seeker(detector, detector_path, smallest)
    recogniser = load_recogniser(packaged_predictor().with_name("dlib_face_recognition_resnet_model_v1.dat"))
    judge = Judge(recogniser, judge_threshold)
    methods: dict[str, FaceCipher] = {"fill": Fill(), "medsem": load_deidentifier(model)}
    ends = {name: Counter[str]() for name in methods}
    escaped, detected, true_faces = Counter[str](), Counter[str](), 0
    for number, photo in enumerate(composites(load_sources(folders, 150, seed), num, seed)):
        start = time.process_time()
        faces = seeker.faces(photo.rgb)
        seconds = time.process_time() - start
        line = {"photo": number, "megapixels": round(photo.rgb[..., 0].size / 1e6, 2), "true": len(photo.faces),
                "found": len(faces), "seconds": round(seconds, 1)}  # fmt: skip
        for face in photo.faces:
            by = seen_by(face, [region for found in faces for region in found.regions])
            true_faces += 1
            detected.update([*by, "together" if by else "none"])
            if not by:
                line["missed"] = [round(face.side_px), round(face.turned), face.placed]
        for name, method in methods.items():
            found = outcome(photo, faces, method, seeker, judge)
            ends[name][found["end"]] += 1
            escaped[name] += found["end"] == "leaves" and found["worst"] < MIN_CHANGED
            line[name] = [found["end"], round(found["worst"], 3), round(found.get("likest", 0), 3)]
        line["all_seconds"] = round(time.process_time() - start, 1)
        print(json.dumps(line), flush=True)
    print(json.dumps({"true_faces": true_faces, "detected": detected, "ends": ends, "escaped": escaped}))


if __name__ == "__main__":
    typer.run(main)
