"""`make photos`: the pipeline on real photographs, in a checkout of its own below .scratch/photos."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import typer

from mema.params import profiles
from mema.project import dvc
from mema.runtime import stage
from phantom.stages.photos_cohort import PATIENTS, PUBLIC, copy_public, write_patients

WORKSPACE = Path(".scratch/photos")
ULTRAFACE = "ultraface/version-RFB-320.onnx"
DLIB = "dlib_face_recognition_resnet_model_v1.dat"


def main() -> None:
    """Lay out inputs and networks from MEMA_ASSETS, run `dvc repro` there, print the tables."""
    assets = find_assets()
    lay_out(WORKSPACE)
    hospital, public = WORKSPACE / "data/hospital/raw", WORKSPACE / "data/public/raw"
    # Drawn each time, since code or assets may be others than the last time; equal bytes make no stage run again.
    for folder in (hospital, public):
        shutil.rmtree(folder, ignore_errors=True)
    typer.echo(f"{write_patients(assets / 'data' / PATIENTS, hospital)} photographs wear simulated signs")
    typer.echo(f"{copy_public([assets / 'data' / name for name in PUBLIC], public)} public photographs")
    copy_networks(assets / "weights", WORKSPACE / "data/checkpoints")
    dvc.reproduce("report", typer.echo, WORKSPACE)
    subprocess.run([str(Path(sys.executable).with_name("mema")), "table"], cwd=WORKSPACE, check=True)


def find_assets() -> Path:
    """Return the folder of MEMA_ASSETS; raises ValueError where it lacks what the profile needs."""
    folder = Path(os.environ.get("MEMA_ASSETS", "")).resolve()
    needed = [*(Path("data") / name for name in (PATIENTS, *PUBLIC)), Path("weights/insightface")]
    missing = [str(path) for path in needed if not (folder / path).is_dir()]
    if "MEMA_ASSETS" not in os.environ or missing:
        raise ValueError(
            f"MEMA_ASSETS: {', '.join(missing) or 'not set'}; name a folder with data/ and weights/, "
            "or put photographs of your own in place (docs/operating.md)"
        )
    return folder


def lay_out(workspace: Path) -> None:
    """Copy the project's files, with the profile photos as params.yaml, as a DVC project without git.

    Code that the project no longer has goes; what lies in data/ and .dvc/ stays.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.split("\0") if Path(name).is_file()]
    for folder in {Path(name).parts[0] for name in names} - {"data", ".dvc"}:
        if (workspace / folder).is_dir():
            shutil.rmtree(workspace / folder)
    for name in names:
        if not name.startswith(".dvc/") and name != "dvc.lock":
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, workspace / name)
    profiles.write("photos", workspace / "params.yaml")
    if not (workspace / ".dvc").exists():
        subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=workspace, check=True)


def copy_networks(weights: Path, out: Path) -> None:
    """Copy the recognisers, the face detector and DeepFace's networks to where the profile expects them."""
    (out / "recognisers").mkdir(parents=True, exist_ok=True)
    for path in [*sorted((weights / "insightface").glob("*.onnx")), weights / "dlib" / DLIB]:
        shutil.copyfile(path, out / "recognisers" / path.name)
    (out / "ultraface").mkdir(exist_ok=True)
    shutil.copyfile(weights / ULTRAFACE, out / ULTRAFACE)
    shutil.copytree(weights / "deepface/.deepface", out / "deepface/.deepface", dirs_exist_ok=True)


if __name__ == "__main__":
    stage.start(main)
