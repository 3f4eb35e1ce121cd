"""The bytes of the runtime: stages do not follow its code, so a change of them must be said in mema/runtime/FORMAT."""

import hashlib
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from mema.runtime import durable, entry, shards

FORMAT = entry.ROOT / "mema/runtime/FORMAT"
REMEDY = "bytes changed: raise `format` in mema/runtime/FORMAT and write the digests here; all stages run again"
# sha256 of what is written below, 16 digits, by format
GOLDEN = {
    "1": {
        "table": "e35e78d6c65d6803",
        "parts": "733cb14bf9432cef",
        "shards": "ff7a73fbe17e7bac",
        "json": "211e3052e9063a43",
        "weights": "7d05341766dae524",
    }
}


def said() -> dict[str, str]:
    lines = [line for line in FORMAT.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split(" ") for line in lines)


def rows() -> pa.Table:
    values = np.random.default_rng(0).random((40, 3), np.float32)
    return pa.table({
        "image_id": [f"{row:064x}" for row in range(40)],
        "image": [value.tobytes() for value in values],
        "score": pa.array(values[:, 0]),
        "flags": [["a"] * (row % 3) for row in range(40)],
    })  # fmt: skip


@dataclass(frozen=True)
class Double:
    """Doubles the score."""

    def load(self):
        return lambda part: part.set_column(2, "score", pa.array(part["score"].to_numpy() * 2))


def write_table(out: Path) -> None:
    shards.write_table(out / "table.parquet", rows(), row_group_rows=16)


def write_parts(out: Path) -> None:
    shards.write_parts((rows().slice(start, 10) for start in range(0, 40, 10)), out / "parts")


def write_shards(out: Path) -> None:
    scratch = shards.compute_shards(rows(), Double(), stage="golden", fingerprint="0" * 16, shard_rows=16, desc="rows")
    shards.publish(scratch, out / "published")


def write_json(out: Path) -> None:
    durable.write_json(out / "metrics.json", {"rate": 1 / 3, "names": ["ä", "b"], "none": None})


def write_weights(out: Path) -> None:
    weights = {"layer.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4), "step": torch.tensor(7)}
    durable.write_atomic(out / "weights.safetensors", lambda path: save_file(weights, path))


WRITERS = {
    "table": write_table, "parts": write_parts, "shards": write_shards, "json": write_json, "weights": write_weights,
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_what_the_runtime_writes_has_the_bytes_of_its_format(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    WRITERS[kind](out)
    digest = hashlib.sha256()
    for file in sorted(file for file in out.rglob("*") if file.is_file()):
        digest.update(file.relative_to(out).as_posix().encode() + file.read_bytes())
    assert digest.hexdigest()[:16] == GOLDEN[said()["format"]][kind], REMEDY


def test_the_libraries_that_compute_are_those_of_the_format():
    """A new torch computes other digits, a new pyarrow writes other bytes: neither goes unnoticed."""
    libraries = {name: number for name, number in said().items() if name != "format"}
    assert libraries == {name: version(name).partition("+")[0] for name in libraries}, "write it in mema/runtime/FORMAT"
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", (entry.ROOT / "constraints.txt").read_text(), re.MULTILINE)
    pinned = {name.lower().replace("_", "-"): number for name, number in pins}
    assert libraries == {name: pinned[name] for name in libraries}


def test_what_computes_is_in_the_format():
    """Each of our libraries that results are computed by is there; those that only look or serve are named here."""
    others = {
        "accelerate", "cryptography", "datasets", "dvc", "dvclive", "face_recognition_models", "fastapi", "filelock",
        "fsspec", "httpx", "huggingface_hub", "jaxtyping", "jinja2", "label-studio-sdk", "matplotlib",
        "prefect", "psutil", "pydantic", "pyyaml", "rich", "ruamel.yaml", "simpleitk", "tqdm", "typer", "uvicorn",
        "werkzeug", "zxcvbn",
    }  # fmt: skip
    project = (entry.ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert listed
    assert set(re.findall(r'"([\w.-]+)', listed[1])) - others <= set(said())
