"""`mema deid` on composites: does any photo leave on which a true eye is less than 95 % changed?

python -m benchmarks.studies.deid_composites OUT.jsonl FOLDER... --predictor FILE --source-detector FILE [--model DIR]
[--detector ultraface --detector-path FILE] appends a line a photo to OUT.jsonl, goes on where it was stopped, and
prints the table. Each photo goes through detection, plan, method and the look; the method `fill` paints every face
grey, which tests the net apart from a network. Before and after, small, lie beside OUT.jsonl.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks.studies.composites import Composite, TrueFace, composite, eye_mask, load_sources, megapixels
from models.concealing.checked import conceal_and_look
from models.concealing.look import Judge
from models.concealing.pictures import FaceCipher
from models.deid.deidentifier import load_deidentifier
from models.identity.recogniser import load_recogniser
from models.photos.alignment import packaged_predictor
from models.photos.detectors import UltraFace
from models.photos.every_face import Face, Seeker, load_seeker
from models.photos.regions import Region, differs, grouped

MIN_CHANGED = 0.95
THUMB_PX = 320


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
    photo: Composite, faces: Sequence[Face], method: FaceCipher, seeker: Seeker, judge: Judge, sheet: Path
) -> dict[str, Any]:
    """Return how the photo ends under a method, and the share changed of each face's eyes that show."""
    if not faces:
        return {"end": "no_face"}
    checked = conceal_and_look(photo.rgb, faces, method, _passwords, seeker, judge)
    after, plan, found = checked.concealed.picture, checked.plan, checked.finding
    changed = differs(photo.rgb, after)
    shares = [float(changed[eye_mask(face, changed.shape)].mean()) for face in photo.faces]
    end = "face_left" if found.left else "leaves"
    if end == "leaves" and found.likest >= judge.threshold:
        end = "still_recognisable"
    _thumbnail(sheet, end, photo.rgb, after)
    return {
        "end": end,
        "likest": round(found.likest, 3),
        "shares": [round(share, 3) for share in shares],
        "replaced": len(plan.places),
        "hidden": len(plan.hidden),
        "missed": len(checked.faces) - len(faces),
    }


def _passwords(num: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((num, 512)).astype(np.float32)


def _thumbnail(stem: Path, end: str, before: np.ndarray, after: np.ndarray) -> None:
    pair = np.hstack([before, after])
    scale = THUMB_PX / max(before.shape[:2])
    small = cv2.resize(pair, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(f"{stem}.{end}.jpg", small[..., ::-1])


def seen_by(face: TrueFace, regions: Sequence[Region]) -> list[str]:
    """Return which detectors have a square that holds the eyes and is of the face's size."""
    eyes = face.eyes[list(face.showing)]
    return sorted({r.detector for r in regions if r.holds(eyes) and 0.4 < r.side / face.side_px < 2.5})


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return ends and escapes by method, and the faces found by kind and detector."""
    table: dict[str, Any] = {"photos": len(lines)}
    for method in lines[0]["methods"] if lines else ():
        ends = [line["methods"][method] for line in lines if method in line["methods"]]
        escaped = Counter(
            face["kind"]
            for line in lines
            if (end := line["methods"].get(method, {})).get("end") == "leaves"
            for face, share in zip(line["faces"], end["shares"], strict=True)
            if share < MIN_CHANGED
        )
        table[method] = {"ends": Counter(end["end"] for end in ends), "escaped_faces": escaped}
    faces = [face for line in lines for face in line["faces"]]
    for kind in sorted({face["kind"] for face in faces}):
        seen = Counter[str]()
        for face in (face for face in faces if face["kind"] == kind):
            seen.update([*face["seen_by"], "together" if face["seen_by"] else "none", "faces"])
        table[f"found, {kind}"] = seen
    table["cpu_seconds"] = [round(float(at), 1) for at in
                            np.quantile([line["find_s"] for line in lines], (0.5, 0.95, 1))]  # fmt: skip
    return table


def main(
    out: Annotated[Path, typer.Argument(help="Lines of photos done; it is gone on with.")],
    folders: Annotated[list[Path], typer.Argument(help="Photographs of one face each.")],
    predictor: Annotated[Path, typer.Option(help="dlib's predictor of 5 points.")],
    source_detector: Annotated[Path, typer.Option(help="UltraFace's file, which looks for the photographs' faces.")],
    model: Annotated[Path | None, typer.Option(help="Folder of a de-identifier beside `fill`.")] = None,
    detector: str = "dlib",
    detector_path: str = "",
    judge: Annotated[Path | None, typer.Option(help="The recogniser; else dlib's, packaged.")] = None,
    judge_threshold: float = 0.954,
    num: int = 200,
    num_sources: int = 1000,
    seed: int = 11,
    smallest: int = 40,
) -> None:
    """Work on the photos that OUT lacks, then print the table."""
    seeker = load_seeker(detector, detector_path, smallest)
    recogniser = load_recogniser(judge or packaged_predictor().with_name("dlib_face_recognition_resnet_model_v1.dat"))
    methods: dict[str, FaceCipher] = {"fill": Fill()}
    if model:
        methods["model"] = load_deidentifier(model)
    done = {line["photo"] for line in _lines(out)}
    sources = load_sources(folders, predictor, UltraFace(str(source_detector)), num_sources, seed)
    print(f"{len(sources)} photographs", flush=True)
    # small ones first: a run that is stopped has the more photos
    for number in sorted(set(range(num)) - done, key=lambda n: megapixels(np.random.default_rng((seed, n)))):
        photo = composite(sources, np.random.default_rng((seed, number)))
        start = time.process_time()
        raw = seeker.regions(photo.rgb)
        faces = seeker.faces(photo.rgb, raw)
        line: dict[str, Any] = {
            "photo": number,
            "megapixels": round(photo.rgb[..., 0].size / 1e6, 2),
            "found": len(faces),
            "taken": len(grouped(raw)),
            "find_s": round(time.process_time() - start, 1),
        }
        regions = [region for face in faces for region in face.regions]
        line["faces"] = [
            {"kind": face.kind, "px": round(face.side_px), "turned": round(face.turned),
             "seen_by": seen_by(face, regions), "taken_by": seen_by(face, raw)}
            for face in photo.faces
        ]  # fmt: skip
        line["methods"] = {
            name: outcome(photo, faces, method, seeker, Judge(recogniser, judge_threshold),
                          out.with_name(f"{out.stem}-{number:03d}-{name}"))
            for name, method in methods.items()
        }  # fmt: skip
        line["all_s"] = round(time.process_time() - start, 1)
        with out.open("a") as stream:
            stream.write(json.dumps(line) + "\n")
    print(json.dumps(summary(_lines(out)), indent=1))


def _lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


if __name__ == "__main__":
    typer.run(main)
