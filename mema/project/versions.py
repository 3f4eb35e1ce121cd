"""Which version of the code this is, and a commit of what a run made of it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

AUTHOR = ("-c", "user.name=MeMa", "-c", "user.email=mema@localhost")
RESULTS_OF = "Add the results of"
RESULTS = ("dvc.lock", "data/phantom/dvc.lock", "data/metrics", "data/profile")


def commit(folder: Path = Path()) -> str:
    """Return the commit of the checkout, short, with a + where files differ from it; "unversioned" outside git."""
    try:
        own = ("--invert-grep", f"--grep=^{RESULTS_OF}")  # results do not make another version
        found = _git(folder, "log", "-1", "--format=%H", *own).strip()[:10]
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", *_except(RESULTS))
    except (RuntimeError, FileNotFoundError):
        return "unversioned"
    return f"{found}+" if changed.strip() else found


def commit_results(branch: str, warn: Callable[[str], None], folder: Path = Path()) -> bool:
    """Commit lock files and metrics on `branch` and push it to origin; return whether there was something new.

    An origin that refuses is told to `warn` with what to do: the commit stays in this workspace.
    """
    _git(folder, "add", "--", *(path for path in RESULTS if (folder / path).exists()))
    if not _git(folder, "diff", "--cached", "--name-only").strip():
        return False
    _git(folder, "switch", "--force-create", branch)
    _git(folder, *AUTHOR, "commit", "--quiet", "--message", f"{RESULTS_OF} {branch.rpartition('/')[2]}")
    if "origin" in _git(folder, "remote").split():
        try:
            _git(folder, "push", "--quiet", "--force", "origin", branch)
        except RuntimeError as error:
            warn(f"{branch} stays in {folder.resolve()}: {error}; when origin takes it: git push origin {branch}")
    return True


def _except(paths: tuple[str, ...]) -> list[str]:
    return [f":(exclude){path}" for path in paths]


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RuntimeError(f"git {arguments[0]}: {reason}")
    return done.stdout
