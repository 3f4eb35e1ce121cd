"""What a killed DVC may leave half-written, put right before the next one starts.

DVC writes dvc.lock and .dvc/tmp/rwlock in place, so a kill in these milliseconds leaves a part of either,
on which every later `dvc` stops. A torn lock file becomes the last whole one that `keep` kept, or git's; what was
done since comes back from DVC's run cache. `python -m mema.project.mending repro` is `dvc repro` after
that, and before `mema.project.last_good`.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import psutil
import yaml
import zc.lockfile

from mema.project import last_good
from mema.runtime import durable, logs

CLOCK_SECONDS = 1.0  # by which the starts of processes and the times of files may differ
log = logging.getLogger(__name__)


def mend(root: Path = Path()) -> list[str]:
    """Put right what a killed DVC left in the checkout at `root`; return what was torn, in words.

    While another DVC is at work nothing is touched.
    """
    return [*_mend_lock_files(root), *_mend_rwlock(root)]


@contextmanager
def _alone(lock: Path) -> Iterator[bool]:
    """Hold one of DVC's own locks, or say that somebody else does."""
    if not lock.parent.is_dir():
        yield False
        return
    try:
        held = zc.lockfile.LockFile(str(lock))
    except zc.lockfile.LockError:
        yield False
        return
    try:
        yield True
    finally:
        held.close()


def keep(root: Path = Path()) -> None:
    """Keep a copy of each whole lock file, while DVC writes none."""
    if not (root / ".dvc/tmp").is_dir():
        return
    for path in _lock_files(root):
        file = root / path
        if file.exists() and _stages(text := file.read_text(errors="replace")):
            durable.write_text(_kept(root, path), text)


def _kept(root: Path, path: str) -> Path:
    return root / ".dvc/tmp/kept" / path.replace("/", "_")


def _lock_files(root: Path) -> list[str]:
    return sorted({"dvc.lock", *_git(root, "ls-files", "*dvc.lock").split()})


def _mend_lock_files(root: Path) -> Iterator[str]:
    with _alone(root / ".dvc/tmp/lock") as alone:
        if not alone:
            return
        for path in _lock_files(root):
            file, kept = root / path, _kept(root, path)
            committed = _stages(_git(root, "show", f"HEAD:./{path}")) or {}
            known = committed | ((_stages(kept.read_text()) or {}) if kept.exists() else {})
            committed, known = (_still_there(stages, file) for stages in (committed, known))
            found = _stages(file.read_text(errors="replace")) if file.exists() else {}
            if found is None or committed.keys() - found.keys():
                mended = {"schema": "2.0", "stages": known | (found or {})}
                durable.write_text(file, yaml.safe_dump(mended, sort_keys=False))
                yield f"{path} was torn by a kill; the last whole one is there again, DVC's run cache knows the rest"
        keep(root)


def _still_there(stages: dict[str, Any], lock_file: Path) -> dict[str, Any]:
    """Return the entries of stages that dvc.yaml still has: one that somebody removed was not torn away."""
    graph = lock_file.with_suffix(".yaml")
    named = yaml.safe_load(graph.read_text())["stages"] if graph.exists() else {}
    return {name: entry for name, entry in stages.items() if name.partition("@")[0] in named}


def _stages(text: str) -> dict[str, Any] | None:
    """Return the stages of a lock file's text, or None where it is not whole."""
    try:
        found = yaml.safe_load(text) if text.endswith("\n") else None
    except yaml.YAMLError:
        return None
    stages = found.get("stages") if isinstance(found, dict) else None
    whole = isinstance(stages, dict) and all(_is_entry(entry) for entry in stages.values())
    return stages if whole else None


def _is_entry(entry: object) -> bool:
    """Tell whether a stage's entry has every field that DVC writes."""
    if not isinstance(entry, dict) or "cmd" not in entry:
        return False
    return all(_is_file(file) for file in [*(entry.get("deps") or ()), *(entry.get("outs") or ())])


def _is_file(file: object) -> bool:
    """Tell whether a dependency or out has its digest, its size, and a folder its number of files."""
    if not isinstance(file, dict) or not {"path", "md5", "size"} <= file.keys():
        return False
    return not str(file["md5"]).endswith(".dir") or "nfiles" in file


def _mend_rwlock(root: Path) -> Iterator[str]:
    file = root / ".dvc/tmp/rwlock"
    with _alone(root / ".dvc/tmp/rwlock.lock") as alone:
        if not alone or not file.exists():
            return
        try:
            held = json.loads(file.read_text(errors="replace"))
        except ValueError:
            file.unlink()
            yield f"{file.relative_to(root)} was torn by a kill; removed"
            return
        since = file.stat().st_mtime
        if not isinstance(held, dict):
            file.unlink()
            yield f"{file.relative_to(root)} holds no locks; removed"
        elif released := _release_of_the_dead(held, since):
            durable.write_text(file, json.dumps(held))
            yield f"{file.relative_to(root)} was held by {released} that a kill ended; released"


def _release_of_the_dead(held: dict[str, dict[str, Any]], since: float) -> str:
    """Take out of {mode: {path: holders}} who is dead, and name them.

    DVC itself waits for whatever has the process id: a zombie that nobody reaps, or another program by now.
    """
    dead = set()
    for paths in held.values():
        for path, holders in list(paths.items()):
            infos = holders if isinstance(holders, list) else [holders]
            alive = [info for info in infos if is_alive(info["pid"], since)]
            dead |= {info["pid"] for info in infos if info not in alive}
            if not alive:
                del paths[path]
            elif isinstance(holders, list):
                paths[path] = alive
    return ", ".join(f"process {pid}" for pid in sorted(dead))


def is_alive(pid: int, since: float) -> bool:
    """Tell whether the process that had this id at the time `since` still runs; in doubt it does."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= since + CLOCK_SECONDS
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def _git(root: Path, *arguments: str) -> str:
    """Return git's answer, nothing where it has none (no repository, no such file in the last commit)."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False).stdout


def become(*arguments: str) -> NoReturn:
    """Mend, then run `dvc` with these arguments and end as it ends; a failed stage leaves the last good outs."""
    for line in mend():
        log.warning(line)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
    sys.exit(last_good.run(command))


def main() -> None:
    """Mend, then become `dvc` with the arguments of the command line."""
    logs.configure()
    become(*sys.argv[1:])


if __name__ == "__main__":
    main()
