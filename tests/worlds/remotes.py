"""Small outputs of every stage, the public ones made by the stages' own code, and a search for what must not leave."""

import base64
import io
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mema.params.annotate import Annotations
from mema.runtime import durable, shards
from models.deid.ablation import plot_sweeps
from models.images import decode, encode_png, image_id
from tasks import schemas
from tasks.annotate import annotations, assemble, report_readers
from tasks.deidentify import train_judges
from tests.worlds import judges as judges_world
from tests.worlds.readers import SIZE, SKILLS, parameters, simulate, write_selection

ROOT = Path(__file__).parents[2]
FILES = ("dvc.yaml", "data/phantom/dvc.yaml")
URI = re.compile(rb"data:image/[\w+]+;base64,([A-Za-z0-9+/=]+)")
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
READERS = ("dr_musterarzt", "dr_beispiel", "dr_anders")  # the release knows aliases only
ALIKE = 12  # grey levels of a 12-px thumbnail between two encodings of one picture


def graph(file: str) -> dict[str, Any]:
    """Return the stages of one of the project's files."""
    return yaml.safe_load((ROOT / file).read_text())["stages"]


def outs(*kinds: str) -> dict[str, dict[str, Any]]:
    """Return every output of the project with its options."""
    stages = [stage for file in FILES for stage in graph(file).values()]
    return {p: o for stage in stages for kind in kinds for out in stage.get(kind, []) for p, o in out.items()}


def noise(rng: np.random.Generator, number: int) -> list[np.ndarray]:
    return list(rng.integers(0, 256, (number, SIZE, SIZE, 3)).astype(np.uint8))


def write_faces(folder: Path, schema: pa.Schema, images: list[np.ndarray], **columns: list[Any]) -> None:
    """Write shards of pictures, empty where `columns` say nothing."""
    known = {"image_id": [image_id(i) for i in images], "image": [encode_png(i) for i in images]}
    values = known | columns
    table = {name: values.get(name, [None] * len(images)) for name in schema.names}
    shards.write_shards(pa.table(table, schema=schema), folder, shard_rows=50)


def write_world(data: Path) -> None:
    """Write every cached output of the project below `data`; what is public by the stages' own code."""
    rng = np.random.default_rng(11)
    write_people(data, rng)
    write_selection(data)
    shards.write_table(data / "prelabel/subset.parquet", shards.read_table(data / "subset.parquet"))
    write_generated(data, rng)
    exports = simulate(data, skills=dict(zip(READERS, SKILLS.values(), strict=True)))
    metrics = data / "metrics"
    annotations.run(
        data / "selected", data / "subset.parquet", exports, data / "annotations",
        metrics / "annotations.json", Annotations(max_unusable=0.0, allow_incomplete=False),
    )  # fmt: skip
    shutil.move(exports, data / "phantom/readers")
    (data / "subset.parquet").unlink()
    changes = {"num_seg_train": 20, "num_seg_val": 3, "max_deviation": 1.0, "bootstrap": 50}
    sets = (data / "mema", data / "mema_seg")
    assemble.run(
        data / "selected", data / "annotations", *sets, metrics / "readers.json", metrics / "assemble.json",
        parameters(**changes),
    )  # fmt: skip
    durable.write_json(metrics / "prelabel.json", {"first_masks": {"n": 80, "proposed": 60, "share": 0.75,
        "ci95": [0.64, 0.83], "mean_score": 0.8}})  # fmt: skip
    report_readers.run(metrics, *sets, data / "report_readers/index.html", title="T", profile="phantom", num_examples=3)
    judges = judges_world.section(judges_world.toy_pretrained(data / "toy"))
    train_judges.run(*sets, data / "judges", metrics / "train_judges.json", judges)
    shutil.rmtree(data / "toy")
    row = {name: {"value": 0.5, "ci95": [0.4, 0.6]} for name in ("med_class", "id_dis", "psnr")}
    sweep = [{"value": value} | row for value in (0.0, 1.0)]
    svg = plot_sweeps({"lambda_med": sweep, "lambda_rev": sweep}, "Fig. 8")
    durable.write_bytes(data / "ablation/sweeps.svg", svg)


def write_people(data: Path, rng: np.random.Generator) -> None:
    """Write patients and public faces, raw, aligned and quarantined."""
    patients, public = noise(rng, 12), noise(rng, 12)
    names = [f"Adelheid-Musterfrau-{k:03d}" for k in range(12)]
    files = [f"photos/{name}.png" for name in names]
    write_faces(data / "patients/faces", schemas.PATIENT_FACE, patients, patient_id=names, file=files)
    write_faces(data / "public/faces", schemas.PUBLIC_FACE, public)
    for name, images in (("hospital", patients), ("public", public)):
        for image, file in zip(images, files, strict=True):
            durable.write_bytes(data / "phantom/cohort" / name / file, encode_png(image))
    rows = [{"file": file, "row": 1, "line": 2, "reason": "no_face", "detail": file} for file in files]
    for who in ("patients", "public"):
        bad = pa.Table.from_pylist(rows, schema=schemas.QUARANTINE)
        shards.write_table(data / who / "quarantine.parquet", bad)
    for name in ("ingest", "distribution"):
        durable.write_json(data / f"patients/{name}.json", {"in": 12, "columns": {"used": names}})


def write_generated(data: Path, rng: np.random.Generator) -> None:
    """Write samples around the selection, its screen, weights, embeddings, and de-identified images."""
    selection, schema = shards.read_table(data / "selected"), schemas.screened(["arcface"])
    others = [encode_png(image) for image in noise(rng, 40)]
    made = pa.Table.from_pylist(
        [{"image_id": f"other-{k}", "image": image, "arm": "direct"} for k, image in enumerate(others)], schema=schema
    )
    whole = pa.concat_tables([selection, made])
    shards.write_shards(whole.select(schemas.SAMPLE.names), data / "samples", shard_rows=100)
    shards.write_shards(whole.slice(0, 340), data / "screened/kept", shard_rows=100)
    shards.write_shards(whole.slice(340), data / "screened/rejected", shard_rows=100)
    shards.write_table(data / "plan/plan.parquet", whole.select(schemas.PLAN.names))
    drawn = {"lora/pytorch_lora_weights.safetensors", "prelabel/embeddings/shard-00000.parquet",
             "medical_encoder/model.safetensors", "deid/model.safetensors"}  # fmt: skip
    for name in sorted(drawn):
        durable.write_bytes(data / name, rng.bytes(5000))
    changed = noise(rng, 8)
    write_faces(data / "deidentified/inpaint", pa.schema([("image_id", pa.string()), ("image", pa.binary())]), changed)
    for page, shown in (("report", whole.slice(0, 340)), ("report_benchmark", None)):
        pictures = [encode_png(image) for image in changed] if shown is None else shown["image"].to_pylist()[-9:]
        durable.write_bytes(data / page / "index.html", html_of(pictures))


def html_of(pictures: Iterable[bytes]) -> bytes:
    """Return a page with pictures inside it."""
    shown = (f'<img src="data:image/png;base64,{base64.b64encode(data).decode()}">' for data in pictures)
    return ("<html>" + "".join(shown) + "</html>").encode()


def pictures_in(data: bytes) -> Iterator[bytes]:
    """Yield every encoded picture of a file: an image, an HTML page, a Parquet table."""
    if data.startswith(SIGNATURES):
        yield data
    elif data[:4] == b"PAR1":
        for column in shards.plain(pq.read_table(io.BytesIO(data))).columns:
            if pa.types.is_binary(column.type):
                yield from (v for v in column.to_pylist() if v and v.startswith(SIGNATURES))
    else:
        yield from (base64.b64decode(found) for found in URI.findall(data))


def thumbnail(picture: bytes) -> np.ndarray:
    return cv2.resize(decode(picture), (12, 12), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()


def words_in(data: bytes) -> bytes:
    """Return a file's bytes, those of a Parquet table uncompressed."""
    if data[:4] != b"PAR1":
        return data
    return repr(pq.read_table(io.BytesIO(data)).to_pylist()).encode()


@dataclass(frozen=True, eq=False)
class Secrets:
    """What must not leave: whole files, pictures in whatever encoding, names."""

    files: dict[str, bytes]
    thumbnails: np.ndarray
    words: tuple[bytes, ...]

    @classmethod
    def of(cls, data: Path, paths: Iterable[str]) -> "Secrets":
        """Collect them from the restricted outputs; the pictures of MeMa are no secret."""
        found = [f for p in paths for f in ([data / p] if (data / p).is_file() else sorted((data / p).rglob("*")))]
        files = {str(f.relative_to(data)): f.read_bytes() for f in found if f.is_file()}
        released = {picture for f in (data / "mema").rglob("*.parquet") for picture in pictures_in(f.read_bytes())}
        hidden = {p for content in files.values() for p in pictures_in(content)} - released
        faces = np.stack([thumbnail(p) for p in sorted(hidden) if not is_grey(p)])
        people = shards.read_table(data / "patients/faces").to_pylist()
        words = {str(row[name]).encode() for row in people for name in ("patient_id", "file")}
        donors = {row["donor_id"].encode() for row in shards.read_table(data / "selected").to_pylist()}
        return cls(files, faces, (*sorted(words | donors), *(name.encode() for name in READERS)))

    def told_by(self, content: bytes) -> list[str]:
        """Return what a file tells of them, each by its kind."""
        told = [f"holds the bytes of {name}" for name, secret in self.files.items() if secret in content]
        shown = [thumbnail(picture) for picture in pictures_in(content) if not is_grey(picture)]
        near = sum(float(np.abs(self.thumbnails - one).mean(1).min()) < ALIKE for one in shown)
        told += [f"shows {near} pictures"] if near else []
        told += ["names somebody"] if any(word in words_in(content) for word in self.words) else []
        return told


def is_grey(picture: bytes) -> bool:
    """Masks are grey PNGs, and MeMa's may equal a reader's."""
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED)
    return image is not None and image.ndim == 2
