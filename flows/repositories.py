"""Which repositories a worker clones from: its own allow-list, whatever the server names.

Who may name a repository and a commit, runs code here. The clone is made by the list's own spelling, so two spellings
that are wrongly taken for one place still lead to a place of the list.
"""

import os
import posixpath
import re
import shlex
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

VARIABLE = "MEMA_REPOSITORIES"
ROOT = Path(__file__).parents[1]
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SCP_LIKE = re.compile(r"(?:[^@/\s]+@)?(\[[^\]/]+\]|[^:/\s\[\]]+):(?!//)(.+)")
DEFAULT_PORTS = {"ssh": 22, "https": 443, "http": 80, "git": 9418}


def allowed(repository: str) -> str:
    """Return the entry of the list that is the named repository; raises ValueError where there is none."""
    wanted = place(repository)
    for entry in entries():
        if wanted and place(entry) == wanted:
            return entry
    raise ValueError(
        f"repository: {_shown(repository)!r} is none that this worker clones from; allowed: "
        f"{', '.join(map(_shown, entries()))}. If it may run here, add it to {VARIABLE} of the worker's environment "
        "(quoted as in a shell, blanks between)"
    )


def entries() -> list[str]:
    """Return the allow-list: MEMA_REPOSITORIES, else the worker's own checkout and its remotes."""
    if text := os.environ.get(VARIABLE, "").strip():
        return [str(ROOT / entry) if _is_path(entry) else entry for entry in shlex.split(text)]
    done = subprocess.run(
        ["git", "-C", str(ROOT), "config", "--get-regexp", r"^remote\..*\.url$"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [line.partition(" ")[2] for line in done.stdout.splitlines()]
    return [str(ROOT), *(str(ROOT / url) if _is_path(url) else url for url in found)]


def place(repository: str) -> str:
    """Return where a repository is, alike for every spelling; empty for what names no place.

    A folder is an absolute path with its links followed. Of an address neither the user nor the scheme counts, nor a
    default port, a trailing .git, or upper case.
    """
    parts = urlsplit(repository)
    if parts.scheme == "file":
        if parts.netloc.lower() not in ("", "localhost"):
            return ""
        return _folder(unquote(parts.path))
    if parts.scheme and "://" in repository:
        if parts.scheme.lower() not in DEFAULT_PORTS or not parts.hostname:
            return ""  # a helper of git's (ext::, fd::) runs what it is told
        try:
            port = parts.port
        except ValueError:
            return ""
        port = "" if port in (None, DEFAULT_PORTS[parts.scheme.lower()]) else f":{port}"
        return _address(f"{parts.hostname}{port}", unquote(parts.path))
    if repository.startswith("/"):
        return _folder(repository)
    if (match := SCP_LIKE.fullmatch(repository)) and not repository.startswith((".", "-")):
        return _address(match[1], match[2])
    return ""


def _address(host: str, path: str) -> str:
    path = posixpath.normpath("/" + path.strip("/"))
    return f"//{host}{path}".casefold().removesuffix(".git")


def _folder(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        return ""
    folder = Path(path)
    if not folder.exists() and folder.with_name(f"{folder.name}.git").exists():
        folder = folder.with_name(f"{folder.name}.git")
    folder = folder.resolve()
    return str(folder.parent if folder.name == ".git" else folder)


def _shown(repository: str) -> str:
    """Return a repository without the login that its address may hold."""
    return re.sub(r"//[^/@]*@", "//", repository)


def _is_path(entry: str) -> bool:
    return "://" not in entry and (entry.startswith((".", "/")) or not SCP_LIKE.fullmatch(entry))


def whole_commit(commit: str) -> str:
    """Return a commit that is named in full; raises ValueError for a branch, a tag, a part, or an option."""
    if not COMMIT.fullmatch(commit):
        raise ValueError(
            f"commit: {commit!r}; allowed: 40 or 64 lower-case hex digits, since a name may mean other code "
            "tomorrow. `make deploy` sets it"
        )
    return commit
