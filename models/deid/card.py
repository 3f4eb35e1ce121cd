"""What a de-identifier was trained on, as its config.json seals it; read without torch."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

FORMAT = 2
KNOWN = "known_images.txt"


@dataclass(frozen=True)
class TrainedOn:
    """Drawn faces or photographs, a digest of the data, and the recogniser of the identity loss.

    `image_ids` are all pictures of the data set: a model of drawn faces takes these only, for whose faces it
    needs no guess.
    """

    domain: Literal["drawn", "photograph"]
    data_sha256: str
    recogniser_sha256: str
    image_ids: Sequence[str] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, str]:
        """Return what stands in config.json."""
        return {"domain": self.domain, "data_sha256": self.data_sha256, "recogniser_sha256": self.recogniser_sha256}


def digest_of(image_ids: Sequence[str]) -> str:
    """Return one digest of a data set's images, whatever their order."""
    return hashlib.sha256("\n".join(sorted(image_ids)).encode()).hexdigest()


def write_known(folder: Path, trained_on: TrainedOn) -> None:
    """Write the pictures that a model of drawn faces may be used on."""
    if trained_on.domain == "drawn":
        (folder / KNOWN).write_text("".join(f"{name}\n" for name in sorted(set(trained_on.image_ids))))


def read_card(folder: Path) -> dict[str, Any]:
    """Return `trained_on` and the size of faces; raises ValueError where the model doesn't say."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"model: no {path}; run `dvc repro train_deid`, or name a folder with --model")
    try:
        config = json.loads(path.read_text())
        card = {**config["trained_on"], "image_size_px": config["networks"]["image_size_px"]}
        sealed = (KNOWN in config["sha256"]) == (card["domain"] == "drawn")
    except (ValueError, KeyError, TypeError):
        card, sealed = {}, False
    if not sealed or card["domain"] not in ("drawn", "photograph"):
        raise ValueError(
            f"{path}: doesn't say whether the model was trained on drawn faces or photographs, or was changed; "
            "fetch the folder, or train it again with `dvc repro train_deid`"
        )
    return card


def read_known(folder: Path) -> frozenset[str]:
    """Return the ids of the data set's pictures; raises ValueError where the list isn't the sealed one."""
    path = folder / KNOWN
    sealed = json.loads((folder / "config.json").read_text())["sha256"].get(KNOWN)
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != sealed:
        raise ValueError(f"{path}: missing or changed; fetch the folder again (dvc pull {folder})")
    return frozenset(data.decode().split())
