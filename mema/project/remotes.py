"""The two remotes: `restricted` for whatever a patient or an unscreened image is in, `public` for what may leave.

.dvc/config names both and says of neither where it is; `dvc remote add --local` does, on each machine.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mema.project import process, remote_places

RESTRICTED, PUBLIC = NAMES = "restricted", "public"
NOWHERE = ".invalid"  # the top-level domain that never resolves (RFC 2606)
# What may leave; each was thought about (docs/operating.md, Remotes). Whatever else names `public` is a mistake.
MAY_LEAVE = ("data/ablation", "data/judges", "data/mema", "data/mema_seg", "data/report_readers")
SET_UP = "dvc remote add --local {} <folder, s3://bucket/prefix or ssh://host/folder>"


def urls(folder: Path = Path()) -> dict[str, str]:
    """Return where each remote of the checkout is, those left out that are nowhere yet.

    Raises RuntimeError where DVC does not understand what it was told of them.
    """
    from dvc.exceptions import DvcException
    from dvc.fs import get_fs_config
    from dvc.repo import Repo

    try:
        with Repo(str(folder)) as repo:  # a remote may stand on another one (remote://), which is followed
            found = {name: str(get_fs_config(repo.config, name=name)["url"]) for name in repo.config["remote"]}
    except DvcException as error:
        raise RuntimeError(f"DVC remotes: {error}; mend .dvc/config.local") from None
    return {name: url for name, url in found.items() if not (urlsplit(url).hostname or "").endswith(NOWHERE)}


def configured(folder: Path = Path()) -> bool:
    """Tell whether both remotes are set up; raises RuntimeError where one is alone, or in the other's place."""
    found = urls(folder)
    missing = [name for name in NAMES if name not in found]
    if len(missing) == 1:
        raise RuntimeError(
            f"DVC remote {missing[0]!r}: not set up, while the other one is, so what belongs there has no place; "
            + SET_UP.format(missing[0])
        )
    if missing:
        return False
    if remote_places.share(found[RESTRICTED], found[PUBLIC]):
        raise RuntimeError(
            f"DVC remotes {RESTRICTED!r} and {PUBLIC!r}: one lies in the other's place, so patients would be "
            f"where everybody reads; give each its own: {SET_UP.format(RESTRICTED)}"
        )
    return True


def push(log: Callable[[str], None] = print, folder: Path = Path()) -> None:
    """Send what the checkout's lock files name to its remotes, the restricted one first.

    Raises RuntimeError before a byte is sent where a remote is not set up or an output names none of the two. The
    run cache stays here: it would carry commands and paths of every stage to one remote.
    """
    require(folder)
    if strays := list(_strays(folder)):
        raise RuntimeError(f"nothing was pushed: {'; '.join(strays)}")
    for name in NAMES:
        if code := _dvc(["push", "--remote", name], log, folder):
            raise RuntimeError(
                f"dvc push to {name!r} ended with exit code {code}; the reason stands in the lines above. After "
                "mending it, the same command sends what is missing"
            )


def pull(stage: str | None = None, log: Callable[[str], None] = print, folder: Path = Path()) -> None:
    """Fetch a stage's outputs and whatever it was made from, as this commit's lock files name them, or everything.

    After it `dvc repro STAGE` runs only what has really changed. Raises RuntimeError where something is not there.
    """
    require(folder)
    target = ["--with-deps", stage] if stage else []
    if code := _dvc(["pull", *target], log, folder):
        raise RuntimeError(
            f"dvc pull of {stage or 'everything'} ended with exit code {code}; if cache files are missing, this "
            "commit was never pushed: run `mema push` where it was made, or `dvc repro` here"
        )


def require(folder: Path = Path()) -> None:
    """Raise RuntimeError with the remedy unless both remotes are set up."""
    if not configured(folder):
        raise RuntimeError("DVC remotes: neither is set up; " + " and ".join(SET_UP.format(name) for name in NAMES))


def _strays(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the remote of each output that would be pushed."""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        root = Path(repo.root_dir)
        for out in repo.index.outs:
            if not out.use_cache:
                continue
            path = Path(os.path.relpath(out.fspath, root)).as_posix()
            if out.remote not in NAMES:
                yield f"{path} names remote {out.remote!r}; write `remote: {RESTRICTED}` in {out.stage.relpath}"
            elif out.remote == PUBLIC and (why := _must_stay(path, out, root)):
                yield f"{path} {why} and names remote {PUBLIC!r}; write {RESTRICTED} in {out.stage.relpath}"


def _must_stay(path: str, out: Any, root: Path) -> str:
    """Return why an output may not leave, or nothing."""
    if path not in MAY_LEAVE:
        return f"is none of the outputs that may leave ({', '.join(MAY_LEAVE)})"
    made_by = Path(out.stage.path).resolve()
    if made_by != (root / "dvc.yaml").resolve() or not out.stage.cmd:
        return "is made by no stage of dvc.yaml"
    if (root / path).is_symlink():
        return "is a link to another folder"
    return ""


def _dvc(arguments: list[str], log: Callable[[str], None], folder: Path) -> int:
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
    return process.run(command, log, folder)


if __name__ == "__main__":
    raise SystemExit("this module does nothing alone; run `mema push`")
