"""Checks of the machine and the checkout; each one that fails says what to do."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from tasks import dvc, params

DISK_GB = 5
MEMORY_GB = 6


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; an empty remedy means that all is well."""

    what: str
    found: str
    remedy: str = ""
    fatal: bool = True


def examine() -> Iterator[Finding]:
    """Yield the finding of every check; a check that breaks is itself a finding."""
    for what, check in CHECKS.items():
        try:
            yield check(what)
        except Exception as error:  # a doctor names every illness and falls ill of none
            yield Finding(what, f"{type(error).__name__}: {error}", "mend this first")


def _python(what: str) -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding(what, found, "" if found.startswith("3.11.") else "make distclean setup PYTHON=python3.11")


def _packages(what: str) -> Finding:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", Path("constraints.txt").read_text(), flags=re.M))
    wrong = []
    for name in re.findall(r'^    "([\w-]+)(?:\[\w+\])?",$', Path("pyproject.toml").read_text(), flags=re.M):
        wanted = next(
            (v for k, v in pins.items() if k.lower().replace("_", "-") == name.replace("_", "-")), None
        )
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            installed = "absent"
        if wanted and installed != wanted:
            wrong.append(f"{name} {installed} (wanted {wanted})")
    if find_spec("torchvision"):
        return Finding(what, "torchvision is installed and breaks diffusers", "pip uninstall torchvision")
    return Finding(
        what, ", ".join(wrong) or f"{len(pins)} versions held", "make distclean setup" if wrong else ""
    )


def _opencv(what: str) -> Finding:
    import cv2

    remedy = (
        ""
        if hasattr(cv2, "CascadeClassifier")
        else "make distclean setup (distributions overwrote one another)"
    )
    return Finding(what, cv2.__version__, remedy)


def _torch(what: str) -> Finding:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    return Finding(
        what, f"{torch.__version__}, {threads} threads on {cores} cores, {device}",
        "unset OMP_NUM_THREADS, or set it to the number of cores" if threads > cores else "", fatal=False,
    )  # fmt: skip


def _disk(what: str) -> Finding:
    free = shutil.disk_usage(".").free / 1e9
    return Finding(what, f"{free:.0f} GB free", "" if free >= DISK_GB else f"free {DISK_GB} GB here")


def _memory(what: str) -> Finding:
    import psutil

    free = psutil.virtual_memory().available / 1e9
    remedy = "" if free >= MEMORY_GB else f"end other programs: the demo peaks below {MEMORY_GB} GB"
    return Finding(what, f"{free:.0f} GB available", remedy, fatal=False)


def _parameters(what: str) -> Finding:
    return Finding(what, f"profile {params.load().profile}")


def _checkpoints(what: str) -> Finding:
    p = params.load()
    needed = [p.generator.path, p.generator.ip_adapter, p.attributes.deepface_home]
    missing = [path for path in (*needed, *p.screen_identity.recognisers.values()) if not Path(path).exists()]
    if missing:
        phantom = "git checkout -- data/phantom/twins"
        return Finding(
            what, "missing: " + ", ".join(missing), phantom if p.profile == "phantom" else "mema fetch"
        )
    if changed := _git("status", "--porcelain", "--", "data/phantom/twins"):
        return Finding(
            what, f"{len(changed.splitlines())} changed", "git checkout -- data/phantom/twins", fatal=False
        )
    if p.generator.sha256:
        from models.diffusion.generator import check_sha256

        check_sha256(Path(p.generator.path), Path(p.generator.ip_adapter), p.generator.sha256)
    return Finding(what, "all there, bytes as recorded")


def _inputs(what: str) -> Finding:
    p = params.load()
    missing = [path for path in (p.inputs.patients, p.inputs.public) if not Path(path).exists()]
    if missing and p.profile == "phantom":
        return Finding(what, "not drawn yet: dvc repro draws them")
    remedy = "put photos/ and, for patients, records.csv there (docs/operating.md)" if missing else ""
    return Finding(what, ("missing: " + ", ".join(missing)) if missing else "all there", remedy)


def _assets(what: str) -> Finding:
    folder = os.environ.get("MEMA_ASSETS", "")
    there = bool(folder) and Path(folder, "data").is_dir()
    found = "found" if there else "no such folder" if folder else "not set"
    remedy = (
        "" if there else "set MEMA_ASSETS to a folder with data/ and weights/; only `make photos` needs it"
    )
    return Finding(what, found, remedy, fatal=False)


def _dvc(what: str) -> Finding:
    stale = dvc.status()
    return Finding(what, f"{len(stale)} stages to run" if stale else "everything is up to date")


def _checkout(what: str) -> Finding:
    commit = _git("rev-parse", "--short", "HEAD").strip()
    changes = len(_git("status", "--porcelain").splitlines())
    return Finding(what, f"commit {commit}, {changes} files not committed")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout


CHECKS: dict[str, Callable[[str], Finding]] = {
    "Python": _python,
    "packages": _packages,
    "OpenCV": _opencv,
    "PyTorch": _torch,
    "disk": _disk,
    "memory": _memory,
    "git": _checkout,
    "params.yaml": _parameters,
    "checkpoints": _checkpoints,
    "inputs": _inputs,
    "MEMA_ASSETS": _assets,
    "DVC": _dvc,
}
