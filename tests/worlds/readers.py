"""A selection of toy images with donors, and simulated readers of it, for the tests of the last stages."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from mema.params import Params
from mema.runtime import shards
from models.diseases import DISEASES
from models.images import encode_png
from models.segmentation.masks import encode_mask
from phantom.simulated_reader import Skill
from phantom.stages import readers
from tasks import schemas
from tests.worlds.profiles import profile

ROOT = Path(__file__).parents[2]
SIZE = 24
GOOD = Skill(
    accuracy=0.92, lookalikes=0.8, severity_accuracy=0.85, false_low=0.02, true_low=0.9, mask_shift=0.06,
    mask_growth=0.06, accept_iou=0.85, skip_share=0.005,
)  # fmt: skip
SKILLS = {"reader_1": GOOD, "reader_2": replace(GOOD, accuracy=0.87), "reader_3": replace(GOOD, accuracy=0.82)}
SENIOR = replace(GOOD, accuracy=0.97, skip_share=0.0)


def lesion(index: int) -> np.ndarray:
    rng = np.random.default_rng([3, index])
    x, y, radius = rng.uniform(8, 16), rng.uniform(8, 16), rng.uniform(4, 6)
    ys, xs = np.mgrid[:SIZE, :SIZE]
    return (xs - x) ** 2 + (ys - y) ** 2 < radius**2


def parameters(**assemble) -> Params:
    """Return the phantom profile with some values of its section `assemble` replaced."""
    params = profile("phantom")
    return params.model_copy(update={"assemble": params.assemble.model_copy(update=assemble)})


def write_selection(root: Path, num_images: int = 320, num_donors: int = 160) -> None:
    """Write root/selected and root/subset.parquet; images cycle through the diseases, a fifth is not outlined."""
    rng = np.random.default_rng(0)
    rows, outlines = [], []
    for index in range(num_images):
        disease = DISEASES[index % 8]
        picture = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        row = {
            "image_id": hashlib.sha256(f"{index}".encode()).hexdigest(), "image": encode_png(picture),
            "plan_row": 1000 + index, "arm": "injected", "disease": disease, "age_bin": "20-40",
            "severity": "" if disease == "normal" else ("slight", "mid", "heavy")[index % 3],
            "gender": "female", "donor_id": f"donor_{rng.integers(num_donors)}", "injection_weight": 0.25,
            "prompt": "a prompt",
        }  # fmt: skip
        rows.append(row)
        mask = encode_mask(lesion(index)) if disease in ("bcc", "scc") else None
        outlines.append({"image_id": row["image_id"], "outline": index % 5 > 0, "first_mask": mask})
    table = pa.Table.from_pylist(rows, schema=schemas.selected(["arcface"]))
    shards.write_shards(table, root / "selected", shard_rows=100)
    shards.write_table(root / "subset.parquet", pa.Table.from_pylist(outlines, schema=schemas.SUBSET))


def simulate(root: Path, out: str = "exports", seed: int = 41, **changes) -> Path:
    options = {"skills": SKILLS, "senior": SENIOR, "low_share": 0.03, "repeat_share": 0.05, "seed": seed}
    readers.run(root / "selected", root / "subset.parquet", root / out, **(options | changes))
    return root / out
