"""A backend's world at toy size: pictures, an embedding, first masks; and requests as Label Studio sends them."""

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from label_studio_sdk.converter.brush import decode_rle

from mema.label_studio.exchange.manifest import remember
from mema.runtime import shards
from models.annotation.manifest import Assigned, Reader
from models.annotation.provenance import read_proposals
from models.images import encode_png
from models.segmentation.masks import decode_mask, encode_mask
from models.segmentation.sam import Prompt, Sam, load_sam

SIZE = (96, 80)
IDS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(3)]
KEYS = [f"{i:016x}" for i in range(3)]


@dataclass(frozen=True)
class Site:
    """A checkpoint, a Label Studio root with three pictures, and what `prelabel` stored of the first."""

    sam_path: Path
    sam: Sam
    root: Path
    embeddings: Path
    subset: Path
    manifest: Path
    images: list[np.ndarray]

    @property
    def log(self) -> Path:
        return self.root / "proposals.jsonl"


def build_site(folder: Path, checkpoint: Path) -> Site:
    """Write all that a backend needs; the first mask of the first picture is a square, the third has a wrong size."""
    sam = load_sam(str(checkpoint))
    images = [np.random.default_rng(i).integers(0, 256, (*SIZE, 3), dtype=np.uint8) for i in range(3)]
    root = folder / "root"
    (root / "files").mkdir(parents=True)
    for key, image in zip(KEYS[1:], images[1:], strict=True):
        (root / "files" / f"{key}.png").write_bytes(encode_png(image))
    embedding = sam.embed(images[:1])[0].numpy()
    stored = pa.table(
        {
            "image_id": IDS[:1],
            "height": [SIZE[0]],
            "width": [SIZE[1]],
            "shape": [list(embedding.shape)],
            "embedding": [embedding.tobytes()],
        }
    )
    shards.write_shards(stored, folder / "embeddings", shard_rows=8)
    first = np.zeros(SIZE, bool)
    first[20:40, 10:30] = True
    masks = [encode_mask(first), None, encode_mask(first[:-1])]
    shards.write_table(folder / "subset.parquet", pa.table({"image_id": IDS, "first_mask": masks}))
    tasks = tuple(Assigned(key=key, image_id=name, copy=0) for key, name in zip(KEYS, IDS, strict=True))
    reader = Reader(email="a@mema.local", user_id=1, project=3, round="reading", tasks=tasks)
    remember(folder / "label_studio", "1.23.2", "reader_1", reader)
    manifest = folder / "label_studio/manifest.json"
    return Site(checkpoint, sam, root, folder / "embeddings", folder / "subset.parquet", manifest, images)


def region(x_px: float, y_px: float, *, positive: bool = True, id_: str = "c1") -> dict[str, Any]:
    """Return a click at a pixel's centre."""
    value = {"x": (x_px + 0.5) / SIZE[1] * 100, "y": (y_px + 0.5) / SIZE[0] * 100, "width": 0.4}
    sizes = {"original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0}
    return {"id": id_, "type": "keypointlabels", "is_positive": positive, "value": value} | sizes


def frame(left_px: float, top_px: float, right_px: float, bottom_px: float, *, id_: str) -> dict[str, Any]:
    value = {
        "x": left_px / SIZE[1] * 100,
        "y": top_px / SIZE[0] * 100,
        "width": (right_px - left_px) / SIZE[1] * 100,
        "height": (bottom_px - top_px) / SIZE[0] * 100,
        "rotation": 0,
    }
    return region(0, 0, id_=id_) | {"type": "rectanglelabels", "value": value}


def body(*regions: dict[str, Any], image: int = 0, project: int = 3) -> dict[str, Any]:
    return {
        "project": f"{project}.1690000000",
        "tasks": [{"id": 1, "data": {"key": KEYS[image]}}],
        "params": {"context": {"result": list(regions)}},
    }


def masks(answer: dict[str, Any]) -> list[np.ndarray]:
    (prediction,) = answer["results"]
    found = []
    for item in prediction["result"]:
        rle = decode_rle(item["value"]["rle"]).reshape(*SIZE, 4)
        assert (rle == rle[..., :1]).all()
        assert set(np.unique(rle)) <= {0, 255}
        found.append(rle[..., 0] > 127)
    return found


def expected(site: Site, image: int, prompt: Prompt) -> np.ndarray:
    return site.sam.segment(site.sam.embed([site.images[image]])[0], SIZE, prompt).best


@dataclass(frozen=True, eq=False)
class Logged:
    """One line of the log of proposals."""

    project: int
    image_id: str
    prompt: Prompt
    mask_sha256: str
    mask: np.ndarray
    sam: str
    first_mask: bool


def logged(path: Path) -> tuple[list[Logged], int]:
    """Return the lines in order, and how many the stage `annotations` could not read."""
    found = []
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        fields, mask = line.pop("prompt"), decode_mask(base64.b64decode(line.pop("mask")))
        points = tuple((x, y) for x, y in fields["points"])
        prompt = Prompt(points, tuple(fields["positive"]), fields["box"] and tuple(fields["box"]))
        del line["time"]
        found.append(Logged(**line, prompt=prompt, mask=mask))
    return found, read_proposals(path).num_unreadable
