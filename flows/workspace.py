"""The pull step of the deployments: a checkout of the deployed commit that this machine keeps.

Each commit has a folder of its own, so no run changes the code under another; all share one DVC cache. A run that
died is taken up in the same folder, with its finished shards and checkpoints.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from configobj import ConfigObj
from filelock import FileLock

from flows import repositories
from flows.repositories import ROOT
from mema.project import remotes

MARK = "mema-workspace"  # in .git: a checkout that runs may commit in


def prepare(repository: str, commit: str) -> dict[str, str]:
    """Return {directory}: the checkout of `commit` below MEMA_WORKSPACE, made where there is none.

    Raises ValueError where this worker does not clone from that repository or the commit is not named in full,
    RuntimeError where this machine's environment was made of other constraints than the commit's.
    """
    repository, commit = repositories.allowed(repository), repositories.whole_commit(commit)
    place = Path(os.environ.get("MEMA_WORKSPACE", "") or ROOT / ".workspaces").absolute()
    folder = place / commit
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / f"{commit}.lock"):
        if not (folder / ".git").is_dir():
            _check_out(repository, commit, folder)
    _check_environment(folder)
    return {"directory": str(folder)}


def _check_out(repository: str, commit: str, folder: Path) -> None:
    """Clone under a temporary name, since a clone that was cut off is none."""
    incoming = folder.with_name(f".{folder.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    _run("git", "clone", "--quiet", "--no-checkout", "--", repository, str(incoming))
    _run("git", "-C", str(incoming), "checkout", "--quiet", "--detach", commit, "--")
    _configure(incoming, folder.parent / "cache")
    (incoming / ".git" / MARK).touch()
    incoming.rename(folder)


def _configure(checkout: Path, cache: Path) -> None:
    """Tell the checkout's DVC of the cache that all share, where this machine's remotes are, and how to sign in.

    Not by `dvc config`, which writes no path with letters beyond ASCII.
    """
    local = checkout / ".dvc/config.local"
    if (ROOT / ".dvc/config.local").exists():
        shutil.copy(ROOT / ".dvc/config.local", local)
    config: Any = ConfigObj(str(local), encoding="utf-8")
    for name, url in remotes.urls(ROOT).items():
        if "://" not in url:  # a path that DVC wrote down as seen from the other folder
            config.setdefault(f'remote "{name}"', {})["url"] = url
    config.setdefault("cache", {})["dir"] = str(cache)
    config.write()


def _check_environment(folder: Path) -> None:
    wanted, here = (path / "constraints.txt" for path in (folder, ROOT))
    if wanted.exists() and _digest(wanted) != _digest(here):
        raise RuntimeError(
            f"this worker's environment was made of other constraints than the deployed commit's: in {ROOT} check "
            f"out {folder.name}, run `make setup`, start the worker again"
        )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RuntimeError(f"{' '.join(command[:2])}: {reason}; is MEMA_REPOSITORY right, the commit pushed?")
