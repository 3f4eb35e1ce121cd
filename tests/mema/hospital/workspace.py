"""A hospital's folder: params, a key, a toy model, and the commands as a person gives them."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import typer
import yaml
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from mema.hospital.commands import register
from mema.hospital.places import zone

PASSPHRASE = "correct horse battery"
# Pictures that show nobody are all alike to a judge; tests/models/concealing/test_look.py asks it about faces.
SECTION = {
    "judge_threshold": 0.9999,
    "model": "toy", "detector": "dlib", "min_size_px": 64, "max_megapixels": 2.0, "max_aspect": 4.0,
    "argon2_iterations": 1, "argon2_memory_kib": 128, "argon2_lanes": 1, "audit_log": "log/audit.jsonl",
}  # fmt: skip


def program() -> typer.Typer:
    """Return `mema` with these commands alone."""
    app = typer.Typer()
    register(app)
    return app


def mema(*arguments: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(program(), [str(argument) for argument in arguments])


@dataclass(frozen=True)
class Hospital:
    """Paths below the current folder."""

    photos: Path = Path("photos")
    out: Path = Path("out")
    key: Path = Path("key")
    log: Path = Path("log/audit.jsonl")

    def deid(self, *more: str | Path) -> Result:
        """De-identify the folder of aligned faces."""
        return mema("deid", self.photos, self.out, "--key-file", self.key, "--aligned", *more)


def lay_out(toy: Path, **changes: object) -> Hospital:
    """Write params.yaml, the key and the link to the model into the current folder."""
    Path("params.yaml").write_text(yaml.safe_dump({"deid_files": SECTION | changes}))
    Path("toy").symlink_to(toy)
    write_key("key", PASSPHRASE)
    Path("photos").mkdir()
    return Hospital()


def write_key(name: str, text: str) -> Path:
    """Write a key file that only its owner reads."""
    path = Path(name)
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def smooth(seed: int = 0, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """Return a smooth random picture of (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rejected(place: Path, command: str = "deid") -> dict[str, str]:
    """Return file -> reason of the quarantine of a command on a folder."""
    path = zone("", command, place) / "quarantine.csv"
    if not path.exists():
        return {}
    return {row["file"]: row["reason"] for row in csv.DictReader(path.open())}


def pixels(path: Path) -> np.ndarray:
    """Return the RGB pixels of a picture's file."""
    return np.asarray(Image.open(path).convert("RGB"))
