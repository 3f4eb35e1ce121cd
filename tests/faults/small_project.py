"""The whole phantom graph in a folder of its own, as small as each stage still has several shards or checkpoints."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from mema.runtime.entry import PACKAGES

ROOT = Path(__file__).parents[2]
FILES = (
    "dvc.yaml",
    "params.yaml",
    ".dvcignore",
    ".gitignore",
    ".dvc/config",
    "data/phantom/params.yaml",
    "data/phantom/twins",
)
LOCKS = ("dvc.lock", "data/phantom/dvc.lock")
# What the samples look like must not decide whether the graph runs through, and the senior must have work. Reader 1
# never errs; reader 2 neither, but leaves every eighth image out; reader 3 always errs. So the majority follows the
# plan where all three read, and where two did they are split and the senior, who never errs, decides. Whoever outlines
# hands in the first mask itself, so that no consensus is empty.
NEVER_ERRS = {"accuracy": 1.0, "false_low": 0.0, "skip_share": 0.0, "accept_iou": 0.0}
READERS = {
    "skills": {
        "reader_1": NEVER_ERRS,
        "reader_2": NEVER_ERRS | {"skip_share": 0.125},
        "reader_3": {"accuracy": 0.0, "false_low": 0.0, "skip_share": 0.0},
    },
    "senior": NEVER_ERRS,
    "low_share": 0.0,
}
SHRUNK: dict[str, dict[str, Any]] = {
    "cohort": {"num_patients": 16, "num_public": 160},
    "ingest_patients": {"shard_rows": 20},
    "ingest_public": {"shard_rows": 64, "calibration_share": 0.7, "floor_share": 0.1},
    "profile_cohort": {"epsilon": 10.0},  # two patients of a disease would drown in the noise of 3
    "train_lora": {
        "rank": 4, "alpha": 4, "targets": "attention", "batch_size": 8, "epochs": 2, "warmup_steps": 1,
        "checkpoint_every": 2, "grid_every": 0,
    },
    "plan_sampling": {"num_images": 120, "num_direct": 8, "num_random": 8, "num_strips": 1},
    "sample": {"num_inference_steps": 2, "shard_rows": 48},
    "select": {"num_images": 120, "bootstrap": 20, "max_shortfall": 1.0},
    "prelabel": {"shard_rows": 8},
    "assemble": {
        "proportions": [1, 1, 1], "num_seg_train": 2, "num_seg_val": 1, "bootstrap": 20, "max_deviation": 10.0,
    },
    "train_medical_encoder": {"diffusion": {"epochs": 2}},
    "train_deid": {
        "networks": {
            "width": 512, "num_layers": 1, "num_heads": 2, "mlp_width": 32, "head_width": 8, "num_eigenfaces": 4,
        },
        "steps": 6, "halve_at": [4], "discriminator_width": 8, "checkpoint_every": 2, "grid_every": 4,
    },
    "train_judges": {
        "classifier": {"steps": 6, "check_every": 2},
        "segmenter": {"steps": 4, "filters": [4, 8, 8, 8, 8]},
        "bootstrap": 20,
    },
    "deidentify": {"shard_rows": 12, "methods": {"inpaint": {"options": {"num_inference_steps": 2}}}},
    "evaluate_medical": {"bootstrap": 20},
    "evaluate_identity": {"num_folds": 3, "bootstrap": 20},
    "evaluate_utility": {"bootstrap": 20},
    "evaluate_reversibility": {"bootstrap": 20},
    "evaluate_ablation": {
        "models": ["M1", "full"], "encoders": ["diffusion"], "lambda_med": [5.0], "lambda_rev": [1.0], "steps": 4,
        "bootstrap": 20,
    },
}  # fmt: skip


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return nested `values` with the leaves of `changes` in place of their own."""
    return values | {
        name: merged(values[name], change) if isinstance(change, dict) else change for name, change in changes.items()
    }


def twin_params() -> str:
    """Return data/phantom/params.yaml with READERS in it."""
    twins = yaml.safe_load((ROOT / "data/phantom/params.yaml").read_text())
    return yaml.safe_dump(merged(twins, {"readers": READERS}), sort_keys=False)


def make(folder: Path) -> Path:
    """Copy code, stages and twins into a new git repository; the twins are plain files there."""
    folder.mkdir(parents=True)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(params, SHRUNK), sort_keys=False))
    (folder / "data/phantom/params.yaml").write_text(twin_params())
    phantom = yaml.safe_load((ROOT / "data/phantom/dvc.yaml").read_text())
    phantom["stages"] = {k: v for k, v in phantom["stages"].items() if not k.startswith("twin_")}
    (folder / "data/phantom/dvc.yaml").write_text(yaml.safe_dump(phantom, sort_keys=False))
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "Start")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def locked_outs(folder: Path) -> dict[str, str]:
    """Return the md5 of every out in the lock files, by path."""
    found = {}
    for file in LOCKS:
        for stage in yaml.safe_load((folder / file).read_text())["stages"].values():
            found |= {out["path"]: out["md5"] for out in stage.get("outs", [])}
    return found


def stages(folder: Path) -> dict[str, list[str]]:
    """Return the outs and metrics of every stage, by its name."""
    found = {}
    for file in ("data/phantom/dvc.yaml", "dvc.yaml"):
        for name, stage in yaml.safe_load((folder / file).read_text())["stages"].items():
            entries = [*stage.get("outs", []), *stage.get("metrics", [])]
            found[name] = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    return found


def seniors_work(folder: Path) -> int:
    """Return how many images the senior decided; READERS gives him an eighth of them."""
    return len(json.loads((folder / "data/phantom/readers/export-senior.json").read_text()))
