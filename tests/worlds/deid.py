"""MeMa, public faces and recognisers for the benchmark's stages: 96-px mosaics whose colours are who they are."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from mema.params.deidentify import EvaluateIdentity, EvaluateReversibility, EvaluateUtility
from models.diseases import DISEASES
from models.images import image_id
from models.segmentation.masks import encode_mask
from phantom.twins.onnx_export import export_onnx
from tasks import schemas
from tasks.works.pseudonyms import pseudonyms
from tests.worlds.judges import write_split
from tests.worlds.profiles import profile

SIZE_PX = 96
NUM_DONORS = {"train": 8, "select": 4, "val": 8}
ROOT = Path(__file__).parents[2]
TWIN = ROOT / "data/phantom/twins/classifier"
PROFILE = profile("phantom")
PSEUDONYMS = pseudonyms(PROFILE.release, PROFILE.release_key)


class Mosaic(torch.nn.Module):
    """A face's likeness is its coarse colours in `cells` x `cells` squares: equal pictures are equal people."""

    def __init__(self, cells: int = 8) -> None:
        super().__init__()
        self.side = 112 // cells

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool2d(images, self.side).flatten(1)
        return pooled - pooled.mean(1, keepdim=True)


@dataclass(frozen=True)
class World:
    """A data folder and the networks beside it."""

    data: Path
    recognisers: dict[str, str]
    loss_recogniser: Path

    def identity(self, **changes) -> EvaluateIdentity:
        """Return the parameters of evaluate_identity."""
        values = {
            "recognisers": self.recognisers, "other_public_faces": True, "num_folds": 4, "bootstrap": 50,
            "confidence": 0.95, "seed": 7,
        }  # fmt: skip
        return EvaluateIdentity.model_validate(values | changes)


UTILITY = EvaluateUtility(predictor="", gaze="", head_pose="", bootstrap=50, seed=7)
REVERSIBILITY = EvaluateReversibility(squeezenet="", classifier=str(TWIN), bootstrap=50, seed=7)


def person(rng: np.random.Generator) -> np.ndarray:
    """Return somebody's face."""
    cells = rng.integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(cells, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_NEAREST)


def photo_of(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return another photo of the same face."""
    return np.clip(face.astype(int) + rng.integers(-25, 26, face.shape), 0, 255).astype(np.uint8)


def write_deid_world(root: Path) -> World:
    """Write data/{mema,mema_seg,public/faces}; each donor has two images, seg val is part of val."""
    rng, data = np.random.default_rng(0), root / "data"
    faces = [person(rng) for _ in range(6)]
    for split, num in NUM_DONORS.items():
        donors = [person(rng) for _ in range(num)]
        faces += donors
        images = [photo_of(face, rng) for face in donors for _ in range(2)]
        values = {
            **{name: [DISEASES[i % 8] for i in range(2 * num)] for name in ("disease", "planned_disease")},
            "donor_pseudonym": PSEUDONYMS.of([image_id(face) for face in donors for _ in range(2)]),
        }
        write_split(data / "mema" / split, schemas.MEMA, images, values)
        if split != "select":
            mask = np.zeros((SIZE_PX, SIZE_PX), bool)
            mask[20:40, 30:60] = True
            values = {name: column[:3] for name, column in values.items()} | {"mask": [encode_mask(mask)] * 3}
            write_split(data / "mema_seg" / split, schemas.MEMA_SEG, images[:3], values)
    write_split(data / "public/faces", schemas.PUBLIC_FACE, faces, {})
    paths, folder = {}, root / "recognisers"
    folder.mkdir()
    for name, cells in (("coarse", 8), ("fine", 16), ("loss", 4)):
        paths[name] = folder / f"{name}.onnx"
        export_onnx(Mosaic(cells), paths[name], torch.zeros(1, 3, 112, 112), alignment="frame")
    return World(data, {name: str(paths[name]) for name in ("coarse", "fine")}, paths["loss"])
