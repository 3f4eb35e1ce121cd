"""The two remotes: `restricted` for whatever a patient or an unscreened image is in, `public` for what may leave.

.dvc/config names both and says of neither where it is; `dvc remote add --local` does, on each machine.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tasks import process

RESTRICTED, PUBLIC = NAMES = "restricted", "public"
NOWHERE = ".invalid"  # the top-level domain that never resolves (RFC 2606)
NEVER_PUBLIC = ("data/hospital", "data/patients", "data/lora")
SET_UP = "dvc remote add --local {} <folder, s3://bucket/prefix or ssh://host/folder>"


def urls(folder: Path = Path()) -> dict[str, str]:
    """Return where each remote of the checkout is, those left out that are nowhere yet."""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        found = {name: str(remote["url"]) for name, remote in repo.config["remote"].items()}
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
    places = {name: _place(found[name]) for name in NAMES}
    if places[PUBLIC].startswith(places[RESTRICTED]) or places[RESTRICTED].startswith(places[PUBLIC]):
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
        raise RuntimeError(
            "DVC remotes: neither is set up; " + " and ".join(SET_UP.format(name) for name in NAMES)
        )


def _place(url: str) -> str:
    """Return a URL as one string for one place, however it is spelt; links on this machine are followed."""
    return (url if urlsplit(url).scheme else str(Path(url).resolve())).rstrip("/") + "/"


def _strays(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the remote of each output that would be pushed."""
    from dvc.repo import Repo

    with Repo(str(folder)) as repo:
        for out in repo.index.outs:
            if not out.use_cache:
                continue
            path = Path(out.fspath).relative_to(repo.root_dir)
            if out.remote not in NAMES:
                yield f"{path} names remote {out.remote!r}; write `remote: {RESTRICTED}` in {out.stage.relpath}"
            elif out.remote == PUBLIC and any(path.is_relative_to(place) for place in NEVER_PUBLIC):
                yield f"{path} is of patients and names remote {PUBLIC!r}; write {RESTRICTED} in {out.stage.relpath}"


def _dvc(arguments: list[str], log: Callable[[str], None], folder: Path) -> int:
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
    return process.run(command, log, folder)


if __name__ == "__main__":
    raise SystemExit("this module does nothing alone; run `mema push`")
