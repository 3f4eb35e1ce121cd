"""A copy of the project whose code a test may edit, and what one stage makes there."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from mema.project import process
from mema.runtime.entry import PACKAGES

ROOT = Path(__file__).parents[2]
GUARD = '\n\nif __name__ == "__main__":\n'


def copy_packages(folder: Path) -> None:
    """Copy what stages are made of into `folder`, which need not be there yet."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def copy_code(folder: Path) -> Path:
    """Copy code and stages into `folder`, which need not be there yet."""
    copy_packages(folder)
    (folder / "data/phantom").mkdir(parents=True, exist_ok=True)
    for name in ("dvc.yaml", "data/phantom/dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def edit(file: Path, code: str) -> None:
    """Let `code` be the last that a module does before it runs as a stage."""
    text = file.read_text()
    head, guard, tail = text.partition(GUARD)
    file.write_text(f"{head}\n\n{code}\n{guard}{tail}")


def set_params(folder: Path, **sections: dict) -> None:
    """Set values of sections in the folder's params.yaml; the sections' other values stay."""
    values = yaml.safe_load((folder / "params.yaml").read_text())
    for name, changes in sections.items():
        values[name] |= changes
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def command(folder: Path, stage: str) -> list[str]:
    """Return the command of a stage, as dvc.yaml has it, with this interpreter."""
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    return [sys.executable, *stages[stage]["cmd"].split()[1:]]


def outs(folder: Path, stage: str) -> list[Path]:
    """Return where a stage's outs and metrics lie."""
    described = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"][stage]
    return [folder / next(iter(out)) for kind in ("outs", "metrics") for out in described.get(kind, ())]


def environment() -> dict[str, str]:
    """Return an environment in which the folder's own code is imported."""
    return {**process.environment(), "OMP_NUM_THREADS": "1", "PYTHONPATH": os.curdir}


def run(folder: Path, stage: str) -> str:
    """Run a stage as DVC does and return a digest of all that it made; its outs are absent before."""
    for path in outs(folder, stage):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command(folder, stage), cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return digest(folder, stage)


def digest(folder: Path, stage: str) -> str:
    """Return a digest of all that a stage made."""
    made = hashlib.sha256()
    for path in outs(folder, stage):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                made.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return made.hexdigest()
