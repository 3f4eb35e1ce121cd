"""Embeddings for the clicks: from the shards of `prelabel`, else from a cache, else computed on demand."""

import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import SamVisionConfig

from models.images import decode
from models.segmentation.sam import Sam

MEMORY_IMAGES = 64  # 2 MB each at SAM's own sizes
DISK_IMAGES = 500
COLUMNS = ["image_id", "height", "width", "shape", "embedding"]
DAMAGED = (OSError, ValueError, KeyError, pa.ArrowException)
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Embedding:
    """What the decoder needs of an image: its embedding in fp16 and its size (height, width)."""

    values: Float[Tensor, "c h w"]
    size_px: tuple[int, int]


@dataclass(frozen=True)
class _Place:
    shard: Path
    group: int
    row: int


class StoredEmbeddings:
    """Random access to the shards of `prelabel`: only their ids are read at the start."""

    def __init__(self, folder: Path, shape: tuple[int, ...], sam: str):
        self._shape, self._sam = shape, sam
        self._places: dict[str, _Place] = {}
        shards = sorted(folder.glob("*.parquet"))
        if not shards:
            log.warning("%s: no shards; every image is embedded on demand, seconds each", folder)
        for shard in shards:
            try:
                self._places |= self._index(shard)
            except DAMAGED as error:
                log.warning("%s: damaged, its images are embedded on demand: %s", shard, _first_line(error))

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._places

    def _index(self, shard: Path) -> dict[str, _Place]:
        with pq.ParquetFile(shard, memory_map=True) as file:
            by = (file.schema_arrow.metadata or {}).get(b"sam", b"").decode()
            if by and by != self._sam:
                raise ValueError(f"made by the checkpoint {by}, not {self._sam}; run the stage prelabel")
            places = {}
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["image_id"])["image_id"].to_pylist()
                places |= {image_id: _Place(shard, group, row) for row, image_id in enumerate(ids)}
            return places

    def get(self, image_id: str) -> Embedding | None:
        """Return a stored embedding, or None where there is none or its shard is damaged."""
        place = self._places.get(image_id)
        if place is None:
            return None
        try:
            return self._read(place, image_id)
        except DAMAGED as error:
            log.warning("%s: unreadable row, embedded on demand: %s", place.shard, _first_line(error))
            return None

    def _read(self, place: _Place, image_id: str) -> Embedding:
        with pq.ParquetFile(place.shard, memory_map=True) as file:
            batches = file.iter_batches(batch_size=1, row_groups=[place.group], columns=COLUMNS)
            row = next(batch for index, batch in enumerate(batches) if index == place.row).to_pylist()[0]
        if row["image_id"] != image_id:
            raise ValueError("the shards were replaced meanwhile; restart the backend")
        if tuple(row["shape"]) != self._shape:
            raise ValueError(f"shape {row['shape']}, the checkpoint's is {list(self._shape)}")
        values = np.frombuffer(row["embedding"], "<f2").reshape(self._shape).copy()
        if not np.isfinite(values).all():
            raise ValueError("the embedding is not finite")
        return Embedding(torch.from_numpy(values), (row["height"], row["width"]))


class Embeddings:
    """Gives an image's embedding by the shortest way; safe to ask from several threads."""

    def __init__(self, sam: Sam, stored: StoredEmbeddings, files: Path, cache: Path):
        self._sam, self._stored, self._files, self._cache = sam, stored, files, cache
        self._memory: OrderedDict[str, Embedding] = OrderedDict()
        self._memory_lock, self._encoder_lock = threading.Lock(), threading.Lock()

    def get(self, image_id: str, key: str) -> Embedding:
        """Return an image's embedding; raises LookupError where neither it nor the picture is known.

        `key` names a task that shows the image, and so a file: the caller has checked that it is hex digits.
        """
        found = self._remembered(image_id) or self._stored.get(image_id)
        if found is None:
            with self._encoder_lock:  # two clicks on one image embed it once
                found = self._remembered(image_id) or self._cached(image_id) or self._embed(image_id, key)
                self._remember(image_id, found)
        self._remember(image_id, found)
        return found

    def _remembered(self, image_id: str) -> Embedding | None:
        with self._memory_lock:
            if image_id in self._memory:
                self._memory.move_to_end(image_id)
            return self._memory.get(image_id)

    def _remember(self, image_id: str, found: Embedding) -> None:
        with self._memory_lock:
            self._memory[image_id] = found
            while len(self._memory) > MEMORY_IMAGES:
                self._memory.popitem(last=False)

    def _cached(self, image_id: str) -> Embedding | None:
        path = self._cache / f"{image_id}.npz"
        try:
            with np.load(path) as entry:
                height, width = entry["size_px"].tolist()
                return Embedding(torch.from_numpy(entry["values"]), (height, width))
        except FileNotFoundError:
            return None
        except Exception as error:  # a cut zip raises one of many; the entry is made again
            log.warning("%s: unreadable, computed again: %s", path, _first_line(error))
            return None

    def _embed(self, image_id: str, key: str) -> Embedding:
        try:
            image = decode((self._files / f"{key}.png").read_bytes())
        except FileNotFoundError:
            raise LookupError("key: its picture is gone; push the tasks again, or run the stage prelabel") from None
        log.info("image %s: no stored embedding, computing it", image_id[:12])
        start = time.perf_counter()
        found = Embedding(self._sam.embed([image])[0], image.shape[:2])
        log.info("image %s: embedded in %.1f s", image_id[:12], time.perf_counter() - start)
        try:
            self._keep(image_id, found)
        except OSError as error:
            log.warning("%s: not kept on the disk: %s", self._cache, _first_line(error))
        return found

    def _keep(self, image_id: str, found: Embedding) -> None:
        self._cache.mkdir(parents=True, exist_ok=True)
        temporary = self._cache / f".{image_id}.{os.getpid()}.tmp"
        try:
            with temporary.open("wb") as handle:
                np.savez(handle, values=found.values.numpy(), size_px=np.array(found.size_px))
            temporary.replace(self._cache / f"{image_id}.npz")
        finally:
            temporary.unlink(missing_ok=True)
        entries = sorted(self._cache.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        for path in entries[:-DISK_IMAGES]:
            path.unlink(missing_ok=True)


def embedding_shape(sam: Sam) -> tuple[int, int, int]:
    """Return (channels, height, width) of the network's embeddings."""
    vision = sam.model.config.vision_config
    assert isinstance(vision, SamVisionConfig)
    assert isinstance(vision.image_size, int)
    assert isinstance(vision.patch_size, int)
    side = vision.image_size // vision.patch_size
    return vision.output_channels, side, side


def weights_digest(sam: Sam) -> str:
    """Return 16 hex digits over the network's weights, so that embeddings of another are told apart."""
    digest = hashlib.sha256()
    for name, values in sorted(sam.model.state_dict().items()):
        digest.update(f"{name} {values.dtype} {list(values.shape)}".encode())
        digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
