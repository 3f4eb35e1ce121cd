"""Stage cohort: the phantom profile's inputs, a hospital's photos with its table, and public photos."""

import csv
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import cv2
import typer
from tqdm import tqdm

from mema.params import load
from mema.params.synthesize import Cohort
from mema.runtime import parent, shards, stage
from phantom.drawing.cohort import Photo, draw, patients
from phantom.drawing.cohort import public as public_photos

STAGE = "cohort"
WORKERS = 2


def draw_file(folder: Path, size: int, photo: Photo) -> None:
    """Draw one photo; as PNG, since the camera's JPEG is in the pixels already."""
    cv2.setNumThreads(1)  # the processes are the parallelism
    path = folder / photo.file
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(draw(photo, size), cv2.COLOR_RGB2BGR)):
        raise OSError(f"{folder}: a photo could not be written; is the disk full?")


def draw_all(pool: Executor, photos: Sequence[Photo], folder: Path, size: int, desc: str) -> None:
    """Draw photos in the pool's processes; a photo depends on nothing but itself."""
    done = pool.map(partial(draw_file, folder, size), photos, chunksize=8)
    for _ in tqdm(done, total=len(photos), desc=desc, unit=" images"):
        pass


def write_records(path: Path, records: Sequence[dict[str, str]]) -> None:
    """Write the hospital's table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(records)


def put(out: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a folder under another name, then rename it: `out` is whole or absent."""
    writing = out.with_name(f".{out.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    fill(writing)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(writing, out)


def run(hospital: Path, public: Path, section: Cohort) -> int:
    """Draw both folders; return the number of photos."""
    visits, size = patients(section.num_patients, section.seed), section.image_size_px
    faces = public_photos(section.num_public, section.seed)

    def fill_hospital(folder: Path) -> None:
        draw_all(pool, [visit.photo for visit in visits], folder, size, "patients")
        write_records(folder / "records.csv", [visit.record for visit in visits])

    # Spawned, not forked: where OpenCV has started threads, its forked copy waits for them forever.
    with ProcessPoolExecutor(WORKERS, get_context("spawn"), parent.end_with, (os.getpid(),)) as pool:
        put(hospital, fill_hospital)
        put(public, lambda folder: draw_all(pool, faces, folder, size, "public"))
    return len(visits) + len(faces)


def main(
    hospital: Annotated[Path, typer.Option(help="out: records.csv and photos/ of the patients")],
    public: Annotated[Path, typer.Option(help="out: photos/ of public faces")],
) -> None:
    """Draw a cohort of phantom patients and public phantoms."""
    section = load(Path("params.yaml")).cohort
    if section is None:
        raise ValueError("cohort: params.yaml has no such section; only profile phantom draws a cohort")
    with shards.timing(STAGE) as record:
        record.images = run(hospital, public, section)


if __name__ == "__main__":
    stage.start(main)
