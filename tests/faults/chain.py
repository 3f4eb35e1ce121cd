"""A chain of stages that note each time they run: each quick, DVC and its locks real."""

import subprocess
import sys
from pathlib import Path

import yaml

STAGES = ("stage_0", "stage_1", "stage_2")


def project(folder: Path, seconds: float = 0.5) -> Path:
    """Make the chain in a new folder; each stage takes so many seconds, and appends its name to runs.txt."""
    folder.mkdir()
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
    stages, before = {}, "in.txt"
    for name in STAGES:
        work = f"echo {name} >> runs.txt && sleep {seconds} && cat {before} > {name}.txt && echo {name} >> {name}.txt"
        stages[name] = {"cmd": work, "deps": [before], "outs": [f"{name}.txt"], "meta": {"flow": "chain"}}
        before = f"{name}.txt"
    (folder / "in.txt").write_text("1\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    return folder


def runs(folder: Path) -> list[str]:
    """Return the stages that ran, in order."""
    file = folder / "runs.txt"
    return file.read_text().split() if file.exists() else []


def results(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all outs and of the lock file."""
    return {name: (folder / name).read_bytes() for name in ("dvc.lock", *(f"{stage}.txt" for stage in STAGES))}
