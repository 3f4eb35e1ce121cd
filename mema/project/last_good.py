"""The last good outs of a stage that fails: DVC deletes them before the stage runs, here they come back.

What DVC has in its cache is checked out again; what git tracks (`cache: false`) was linked aside beforehand.
An out that the failed run wrote itself, such as the metrics that say why, is left for a person to look at.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mema.project import process

ASIDE = Path(".dvc/tmp/last_good")


@dataclass(frozen=True)
class Out:
    """An out as dvc.lock knows it; `inode` tells whether it was written anew."""

    path: str
    cached: bool
    digest: str
    inode: int


def look(root: Path = Path()) -> dict[str, Out]:
    """Return the outs that are there, by path, and link those that DVC does not cache aside."""
    shutil.rmtree(root / ASIDE, ignore_errors=True)
    found = {out.path: out for out in _outs(root) if out.inode}
    if (root / ".dvc").is_dir():
        for out in found.values():
            if not out.cached:
                _link(root / out.path, root / ASIDE / out.path)
    return found


def bring_back(before: dict[str, Out], root: Path = Path()) -> list[str]:
    """Bring back what was there before a failed run and is missing now; return what was done, in words."""
    after = {out.path: out for out in _outs(root)}
    missing = [out for out in before.values() if not (root / out.path).exists()]
    for out in missing:
        if not out.cached and (root / ASIDE / out.path).exists():
            _link(root / ASIDE / out.path, root / out.path)
    _checkout(root, [out.path for out in missing if out.cached])
    back = [out.path for out in missing if (root / out.path).exists()]
    lost = [out.path for out in missing if out.path not in back]
    half = [
        out.path
        for out in before.values()
        if out.path in after
        and out.cached
        and out not in missing
        and after[out.path].inode != out.inode
        and after[out.path].digest == out.digest
    ]
    lines = []
    if back:
        lines.append(f"the last good ones are there again: {', '.join(back)}")
    if half:
        lines.append(
            f"the failed run wrote {', '.join(half)}; the last good ones: dvc checkout --force {' '.join(half)}"
        )
    if lost:
        lines.append(f"gone, and not in DVC's cache: {', '.join(lost)}; mema pull fetches them from the remotes")
    return lines


def run(command: list[str], root: Path = Path()) -> int:
    """Run DVC in the foreground, as if it had replaced this process; after a failure bring back what it deleted."""
    before = look(root)
    child = subprocess.Popen(command, cwd=root, env=process.environment())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the child by itself; this process waits for it
    signal.signal(signal.SIGTERM, lambda number, frame: child.send_signal(number))
    code = child.wait()
    if code:
        for line in bring_back(before, root):
            print(line, file=sys.stderr, flush=True)
    return 128 - code if code < 0 else code


def _outs(root: Path) -> Iterator[Out]:
    for lock in (root / "dvc.lock", *sorted(root.glob("data/*/dvc.lock"))):
        entries, graph = _stages(lock), _stages(lock.with_suffix(".yaml"))
        for name, entry in entries.items():
            stage = graph.get(name.partition("@")[0], {})
            folder = Path(os.path.normpath(lock.parent.relative_to(root) / stage.get("wdir", ".")))
            uncached = _uncached(stage)
            for out in entry.get("outs") or ():
                path = str(folder / out["path"])
                yield Out(path, out["path"] not in uncached, str(out.get("md5")), _inode(root / path))


def _stages(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError):
        return {}
    stages = found.get("stages") if isinstance(found, dict) else None
    return stages if isinstance(stages, dict) else {}


def _uncached(stage: dict[str, Any]) -> set[str]:
    entries = [one for kind in ("outs", "metrics", "plots") for one in stage.get(kind) or ()]
    flagged = [item for one in entries if isinstance(one, dict) for item in one.items()]
    return {path for path, options in flagged if (options or {}).get("cache") is False}


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _link(source: Path, target: Path) -> None:
    """Link a file or the files of a folder; the outs' writers replace files and never change them in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)
    else:
        os.link(source, target)


def _checkout(root: Path, paths: list[str]) -> None:
    """Check missing outs out of DVC's cache, each by itself: one that is not there takes no other with it."""
    for path in paths:
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "checkout", "--quiet", path]
        subprocess.run(command, cwd=root, env=process.environment(), capture_output=True, check=False)
