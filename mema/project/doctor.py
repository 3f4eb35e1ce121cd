"""Checks of the machine and the checkout; each one that fails says what to do.

What the machine reaches over a network is checked by `mema.project.doctor_services`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from mema import params
from mema.project import doctor_services, dvc
from mema.project.doctor_services import Finding

DISK_GB = 5  # the environment, and what is small in every profile
MEMORY_GB = 6
BYTES_PER_PIXEL = 1.63  # of a PNG, measured on the phantoms' data/samples
EMBEDDING_BYTES = 2 * 256 * 64 * 64  # SAM's, fp16, where images are as large as SAM's own
COPIES = 2  # the workspace and DVC's cache


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
        wanted = next((v for k, v in pins.items() if k.lower().replace("_", "-") == name.replace("_", "-")), None)
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            installed = "absent"
        if wanted and installed != wanted:
            wrong.append(f"{name} {installed} (wanted {wanted})")
    if find_spec("torchvision"):
        return Finding(what, "torchvision is installed and breaks diffusers", "pip uninstall torchvision")
    return Finding(what, ", ".join(wrong) or f"{len(pins)} versions held", "make distclean setup" if wrong else "")


def _opencv(what: str) -> Finding:
    import cv2

    remedy = "" if hasattr(cv2, "CascadeClassifier") else "make distclean setup (distributions overwrote one another)"
    return Finding(what, cv2.__version__, remedy)


def _torch(what: str) -> Finding:
    import torch

    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    return Finding(
        what, f"{torch.__version__}, {threads} threads on {cores} cores",
        "unset OMP_NUM_THREADS, or set it to the number of cores" if threads > cores else "", fatal=False,
    )  # fmt: skip


def _gpu(what: str) -> Finding:
    import torch

    devices = [torch.cuda.get_device_properties(k) for k in range(torch.cuda.device_count())]
    if devices:
        cards = ", ".join(f"{device.name} {device.total_memory / 1e9:.0f} GB" for device in devices)
        return Finding(what, f"{cards}; CUDA {torch.version.cuda}")
    if Path("/proc/driver/nvidia/gpus").is_dir():
        build = f"PyTorch for CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build of PyTorch"
        remedy = "install the build for this driver (nvidia-smi names its CUDA): pytorch.org/get-started"
        return Finding(what, f"a card is there, {build} does not see it", remedy)
    phantom = params.load().profile == "phantom"
    remedy = "" if phantom else "sample and the trainings take weeks without one (docs/operating.md, Sizes)"
    return Finding(what, "none; phantoms need none" if phantom else "none", remedy, fatal=False)


def needed_disk_gb(p: params.Params) -> float:
    """Return what the outputs take, DVC's cache included, inputs not: pictures as PNG, and SAM's embeddings."""
    plan, wanted = p.plan_sampling, p.select.num_images
    planned = plan.num_images * plan.over_generation + plan.num_direct + plan.num_random
    pictures = 2 * planned + 2 * wanted  # samples and screened; selected and MeMa
    embedded = wanted * p.prelabel.outline_share if p.profile != "phantom" else 0
    picture_bytes = p.ingest_patients.image_size_px**2 * BYTES_PER_PIXEL
    return DISK_GB + COPIES * (pictures * picture_bytes + embedded * EMBEDDING_BYTES) / 1e9


def needed_memory_gb(p: params.Params) -> float:
    """Return what the largest stage takes: train_deid holds MeMa's training split as pixels."""
    return MEMORY_GB + p.select.num_images * p.train_deid.image_size_px**2 * 3 / 1e9


def _disk(what: str) -> Finding:
    p = params.load()
    free, needed = shutil.disk_usage(".").free / 1e9, needed_disk_gb(p)
    there = f"{free:.0f} GB free; profile {p.profile} needs {needed:.0f} GB and twice its inputs"
    return Finding(what, there, "" if free >= needed else f"free {needed - free:.0f} GB here")


def _memory(what: str) -> Finding:
    import psutil

    free, needed = psutil.virtual_memory().available / 1e9, needed_memory_gb(params.load())
    remedy = "" if free >= needed else f"end other programs: the largest stage peaks below {needed:.0f} GB"
    return Finding(what, f"{free:.0f} GB available", remedy, fatal=False)


def _parameters(what: str) -> Finding:
    return Finding(what, f"profile {params.load().profile}")


def _checkpoints(what: str) -> Finding:
    p = params.load()
    needed = [p.generator.path, p.generator.ip_adapter, p.attributes.deepface_home, p.prelabel.sam]
    needed += [p.train_judges.dinov2, p.train_deid.loss_recogniser, p.evaluate_ablation.recogniser]
    needed += [*p.screen_identity.recognisers.values(), *p.evaluate_identity.recognisers.values()]
    needed.append(p.recheck_identity.recogniser)
    missing = sorted({path for path in needed if not Path(path).exists()})
    if missing:
        phantom = "git checkout -- data/phantom/twins"
        return Finding(what, "missing: " + ", ".join(missing), phantom if p.profile == "phantom" else "mema fetch")
    if changed := _git("status", "--porcelain", "--", "data/phantom/twins"):
        return Finding(what, f"{len(changed.splitlines())} changed", "git checkout -- data/phantom/twins", fatal=False)
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
    remedy = "" if there else "set MEMA_ASSETS to a folder with data/ and weights/; only `make photos` needs it"
    return Finding(what, found, remedy, fatal=False)


def _environment(what: str) -> Finding:
    from mema.runtime import logs
    from mema.runtime.engine import number_of
    from mema.runtime.launch import num_processes

    workers, gpus = int(number_of("MEMA_WORKERS", 0)), number_of("MEMA_NUM_GPUS", 0)
    processes, cores = num_processes(os.environ) or 1, os.cpu_count() or 1
    form = "json" if logs.wants_json() else "text"
    found = f"{workers or 'no'} workers, {processes} training processes, {gpus:g} GPUs an actor, logs in {form}"
    if os.environ.get("RAY_ADDRESS"):
        return Finding(what, found)
    if gpus:
        return Finding(what, found, "MEMA_NUM_GPUS is for Ray: set RAY_ADDRESS, or unset it", fatal=False)
    many = [name for name, number in (("MEMA_WORKERS", workers), ("MEMA_PROCESSES", processes)) if number > cores]
    return Finding(what, found, f"lower {' and '.join(many)} to {cores}, the cores" if many else "", fatal=False)


def _readers(what: str) -> Finding:
    """Say whose answers the pipeline takes; a remedy where people's go nowhere, or none are there yet."""
    from mema.project import simulated

    annotations = params.load().inputs.annotations
    told = simulated.warnings(annotations)
    if annotations == simulated.LABEL_STUDIO:
        return Finding(what, "Label Studio's" if not told else "none yet", "".join(told), fatal=False)
    return Finding(what, f"simulated ({annotations})", "; ".join(told) if told[1:] else "", fatal=False)


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
    "GPU": _gpu,
    "disk": _disk,
    "memory": _memory,
    "git": _checkout,
    "params.yaml": _parameters,
    "checkpoints": _checkpoints,
    "inputs": _inputs,
    "MEMA_ASSETS": _assets,
    "environment": _environment,
    "readers": _readers,
    **doctor_services.CHECKS,
    "DVC": _dvc,
}


if __name__ == "__main__":
    raise SystemExit("this module does nothing alone; run `mema doctor`")
