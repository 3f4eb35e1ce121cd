"""The hospital's files: no link is followed, each is whole or absent, and only its owner reads it."""

import errno
import fcntl
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from models.photos.rejection import Rejection

MAX_BYTES = 1 << 31  # of a picture or a side-car
LOCK = ".mema.lock"
# The second form is that of earlier versions
TEMPORARY = re.compile(
    r"\.mema-\d+-[0-9a-f]{8}\.tmp|\..+\.(png|jpe?g|tiff?|webp|gif|bmp|mema)\.\d+\.tmp", re.IGNORECASE
)
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def read_regular(path: Path, max_bytes: int, what: str) -> bytes:
    """Return a regular file's bytes; raises Rejection for links, devices, pipes, and what is too large.

    `what` it is stands in the detail, since its name must not.
    """
    try:
        _refuse_odd(path.lstat(), what)  # before it is opened: that alone can wait for ever, or wind a tape
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as handle:
            status = os.fstat(handle.fileno())
            _refuse_odd(status, what)
            if status.st_size > max_bytes:
                raise Rejection("file_too_large", f"{what}: {status.st_size} bytes, at most {max_bytes}")
            return handle.read()
    except OSError as error:
        raise Rejection("unreadable_file", f"{what}: {error.strerror}") from None


def _refuse_odd(status: os.stat_result, what: str) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise Rejection("symbolic_link", f"{what} is a link, and links are not followed; put the file there")
    if not stat.S_ISREG(status.st_mode):
        raise Rejection("not_a_file", f"{what} is a folder, pipe or device")


def write_private(path: Path, data: bytes, root: Path, replace: bool = False) -> None:
    """Write a file below `root` atomically and durably, mode 0600; raises Rejection where a link leads out.

    What is killed leaves a file that `sweep` knows. Only `replace` lets an existing file go.
    """
    folder = _open_folder(path, root)
    try:
        if not replace and _exists(path.name, folder):
            raise Rejection("out_exists", "nothing is overwritten; move it away")
        temporary = f".mema-{os.getpid()}-{secrets.token_hex(4)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def _open_folder(path: Path, root: Path) -> int:
    """Open the folder of `path`, made where missing, through real folders only; `root` itself is as given."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(root, FOLDER)
    for part in path.parent.relative_to(root).parts:
        before = descriptor
        try:
            if part == "..":
                raise Rejection("link_in_out", "a name leads out of the folder")
            if not _exists(part, before):
                os.mkdir(part, 0o700, dir_fd=before)
            descriptor = os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=before)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                detail = "a folder that is needed is a link or a file there; move it away"
                raise Rejection("link_in_out", detail) from None
            raise
        finally:
            os.close(before)
    return descriptor


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def locked(folder: Path, whole: bool) -> Iterator[int]:
    """Hold a folder against other runs, and remove what killed ones left half-written; yield how many files.

    `whole` is all below it, otherwise the folder's own files. Raises ValueError that names the other process.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _take(folder / LOCK)
    except OSError as error:
        raise ValueError(f"the folder to write: {error.strerror}; name another, or mend that") from None
    try:
        for above in folder.resolve().parents:
            _refuse_held(above / LOCK)
        yield sweep(folder, whole)
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(descriptor)


def _take(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _still_there(path, descriptor):
                break
        except BlockingIOError:
            raise _held(descriptor) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it between opening and locking
    os.ftruncate(descriptor, 0)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    os.write(descriptor, f"{os.getpid()} on {socket.gethostname()} since {since}".encode())
    return descriptor


def _still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _held(descriptor: int) -> ValueError:
    """Return the error, and close the file."""
    with os.fdopen(descriptor, "rb") as handle:
        owner = handle.read(200).decode("utf-8", "replace") or "which has just begun"
    return ValueError(f"process {owner} works in this folder; let it end, then give the command again")


def _refuse_held(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return  # there is none
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _held(descriptor) from None
    os.close(descriptor)


def sweep(folder: Path, whole: bool) -> int:
    """Remove half-written files of killed runs from a folder that is locked; return how many there were."""
    removed = 0
    for place, folders, names in os.walk(folder, onerror=_raise):
        if Path(place) != folder and LOCK in names:
            _refuse_held(Path(place, LOCK))
        for name in names:
            path = Path(place, name)
            if TEMPORARY.fullmatch(name) and stat.S_ISREG(path.lstat().st_mode):
                path.unlink()
                removed += 1
        if not whole:
            folders.clear()
    return removed


def _raise(error: OSError) -> None:
    raise ValueError(f"a folder below OUT can't be read ({error.strerror}), so nobody knows what is in it") from None
