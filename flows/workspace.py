"""The pull step of the deployments: a checkout of the deployed commit that this machine keeps.

Each commit has a folder of its own, so no run changes the code under another; all share one DVC cache. A run that
died is taken up in the same folder, with its finished shards and checkpoints.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tasks import remotes

ROOT = Path(__file__).parents[1]
MARK = "mema-workspace"  # in .git: a checkout that runs may commit in


def prepare(repository: str, commit: str) -> dict[str, str]:
    """Return {directory}: the checkout of `commit` below MEMA_WORKSPACE, made where there is none.

    Raises RuntimeError where this machine's environment was made of other constraints than the commit's.
    """
    place = Path(os.environ.get("MEMA_WORKSPACE", "") or ROOT / ".workspaces").absolute()
    folder = place / commit[:12]
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / f"{commit[:12]}.lock"):
        if not (folder / ".git").is_dir():
            _check_out(repository, commit, folder)
    _check_environment(folder)
    return {"directory": str(folder)}


def _check_out(repository: str, commit: str, folder: Path) -> None:
    """Clone under a temporary name, since a clone that was cut off is none."""
    incoming = folder.with_name(f".{folder.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    _run("git", "clone", "--quiet", "--no-checkout", repository, str(incoming))
    _run("git", "-C", str(incoming), "checkout", "--quiet", "--detach", commit)
    local = ROOT / ".dvc/config.local"
    if local.exists():  # where this machine's remotes are, and how to sign in
        shutil.copy(local, incoming / ".dvc")
        for name, url in remotes.urls(ROOT).items():
            if "://" not in url:  # a path that DVC wrote down as seen from the other folder
                _dvc(incoming, "remote", "modify", "--local", name, "url", url)
    _dvc(incoming, "cache", "dir", "--local", str(folder.parent / "cache"))
    (incoming / ".git" / MARK).touch()
    incoming.rename(folder)


def _check_environment(folder: Path) -> None:
    wanted, here = (path / "constraints.txt" for path in (folder, ROOT))
    if wanted.exists() and _digest(wanted) != _digest(here):
        raise RuntimeError(
            f"this worker's environment was made of other constraints than the deployed commit's: in {ROOT} check "
            f"out {folder.name}, run `make setup`, start the worker again"
        )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _dvc(folder: Path, *arguments: str) -> None:
    _run(sys.executable, "-m", "dvc", "--cd", str(folder), *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RuntimeError(f"{' '.join(command[:2])}: {reason}; is MEMA_REPOSITORY right, the commit pushed?")
