"""What networks say of images, shard by shard, in this process or on whatever engine the environment names."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mema.runtime import entry, shards
from models.identity.recogniser import load_recogniser
from models.images import decode

SHARD_ROWS = 256
Values = dict[str, np.ndarray]  # by name, one row an image


class Measure(Protocol):
    """What is asked of images. A frozen dataclass that travels to workers; its paths are checkpoints."""

    def load(self) -> Callable[..., Values]:
        """Load the networks; return what takes uint8 [n, h, w, 3], once a column, and gives Values."""
        ...


@dataclass(frozen=True)
class Recognised:
    """Measure: every recogniser's embeddings, each image decoded once for all."""

    recognisers: Mapping[str, Path]

    def load(self) -> Callable[..., Values]:
        """Load the recognisers."""
        loaded = {name: load_recogniser(path) for name, path in self.recognisers.items()}
        return lambda images: {name: recogniser.embed(images) for name, recogniser in loaded.items()}


@dataclass(frozen=True)
class Measuring:
    """Work: encoded images to one row of arrays, each as NumPy writes it."""

    measure: Any
    columns: tuple[str, ...]

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Load the measure."""
        measure = self.measure.load()

        def work(part: pa.Table) -> pa.Table:
            values = measure(*([decode(data) for data in part[name].to_pylist()] for name in self.columns))
            return pa.table({name: pa.array([_packed(array)], pa.large_binary()) for name, array in values.items()})

        return work


def measure_rows(
    rows: Sequence[int],
    gather: Callable[[list[int]], pa.Table],
    measure: Measure,
    *,
    inputs: tuple[Path, ...],
    stage: str,
    desc: str,
    columns: tuple[str, ...] = ("image",),
    source: str = "image",
) -> Values:
    """Return what `measure` says of some rows of a folder, whose encoded images `gather` reads; {} of none.

    `inputs` are the files and folders that the call reads, `source` the column of theirs: a killed run's values are
    taken up if these and what the entry of `stage` in dvc.yaml names are equal.
    """
    if not len(rows):
        return {}
    asked = {"measure": repr(measure), "rows": list(rows), "columns": columns, "source": source}
    fingerprint = entry.fingerprint(stage, *inputs, by=type(measure), **asked)
    folder = shards.compute_shards(
        pa.table({"row": rows}), Measuring(measure, columns), shard_rows=SHARD_ROWS, stage=stage,
        fingerprint=fingerprint, desc=desc, gather=lambda part: gather(part["row"].to_pylist()),
    )  # fmt: skip
    parts = [shards.read_table(file) for file in sorted(folder.glob("shard-*.parquet"))]
    values = {
        name: np.concatenate([_unpacked(part[name][0].as_py()) for part in parts]) for name in parts[0].column_names
    }
    shards.clear_scratch(stage, fingerprint)
    return values


def embed_faces(
    folder: Path, column: str, recognisers: Mapping[str, Path], *, stage: str, desc: str
) -> tuple[np.ndarray, Values]:
    """Return one column and every recogniser's embeddings of a folder's images."""
    values = shards.read_table(folder, columns=[column])[column].to_pylist()
    embeddings = measure_rows(
        range(len(values)), lambda rows: shards.take_rows(folder, rows, ["image"]), Recognised(recognisers),
        inputs=(folder, *recognisers.values()), stage=stage, desc=desc,
    )  # fmt: skip
    return np.array(values), embeddings


def _packed(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _unpacked(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)
