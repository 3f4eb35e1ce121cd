"""No link is followed, no pipe is waited for, no second run works in a folder, and only its owner reads."""

import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest

from mema.hospital.places import sidecar_of
from mema.hospital.private import LOCK, locked, read_regular, sweep, write_private
from models.photos.rejection import Rejection
from tests.mema.hospital.workspace import encoded, mema, rejected, smooth, write_key


@pytest.fixture
def done(hospital):
    (hospital.photos / "sub").mkdir()
    for name in ("a.png", "sub/b.png"):
        (hospital.photos / name).write_bytes(encoded(smooth(len(name))))
    assert hospital.deid("--keep-original").exit_code == 0
    return hospital


def modes(*folders: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_only_their_owner_reads_what_is_written(done):
    old = os.umask(0)
    try:
        assert mema("restore", done.out, "back", "--key-file", done.key).exit_code == 0
        assert mema("restore", done.out, "exact", "--key-file", done.key, "--exact").exit_code == 0
        (done.photos / "bad.png").write_bytes(b"no")
        assert done.deid().exit_code == 1
    finally:
        os.umask(old)
    quarantine = list(Path().glob("mema-deid-*"))
    assert rejected(done.photos) == {"bad.png": "not_an_image"}
    assert modes(done.out, Path("back"), Path("exact"), done.log.parent, *quarantine) == {0o600}


def test_a_folder_of_out_that_is_a_link_is_never_written_through(hospital):
    Path("elsewhere").mkdir()
    hospital.out.mkdir()
    (hospital.out / "sub").symlink_to(Path("elsewhere").resolve())
    (hospital.photos / "sub").mkdir()
    for name in ("sub/a.png", "z.png"):
        (hospital.photos / name).write_bytes(encoded(smooth(1)))
    result = hospital.deid()
    assert result.exit_code == 1
    assert rejected(hospital.photos)["sub/a.png"] == "link_in_out"
    assert "z.png" not in rejected(hospital.photos)
    assert list(Path("elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["a.png.png", "a.png.png.mema"])
def test_a_link_in_the_place_of_an_output_is_never_written_through(hospital, name):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    hospital.out.mkdir()
    (hospital.out / name).symlink_to(Path("victim").resolve())
    assert hospital.deid().exit_code == 1
    assert not Path("victim").exists()
    assert (hospital.out / name).is_symlink()


def make(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(Path("copy").resolve())
    else:
        path.mkdir()


@pytest.mark.parametrize(("kind", "reason"), [("pipe", "not_a_file"), ("link", "symbolic_link")])
@pytest.mark.parametrize("half", ["a.png.png", "a.png.png.mema"])
def test_pipes_and_links_in_out_are_a_reason_at_once(done, kind, reason, half):
    new = write_key("new", "another horse battery")
    Path("copy").write_bytes((done.out / half).read_bytes())
    make(done.out / half, kind)
    start = time.monotonic()
    single = mema("restore", done.out / "a.png.png", "x.png", "--key-file", done.key)
    assert single.exit_code == 1
    assert reason in single.output
    assert mema("restore", done.out, "back", "--key-file", done.key).exit_code == 1
    assert rejected(Path("back"), "restore")[half] == reason
    before = Path("copy").read_bytes()
    mema("rekey", done.out, "--key-file", done.key, "--new-key-file", new)
    assert rejected(done.out, "rekey")[half] == reason
    assert Path("copy").read_bytes() == before
    assert done.deid().exit_code == 1
    assert time.monotonic() - start < 60
    assert not list(Path("back").glob("a.png*"))


def test_a_link_is_not_rekeyed(done):
    link = Path("link.png.mema")
    link.symlink_to(sidecar_of(done.out / "a.png.png").resolve())
    before = link.read_bytes()
    new = write_key("new", "another horse battery")
    result = mema("rekey", "link.png.mema", "--key-file", done.key, "--new-key-file", new)
    assert result.exit_code == 1
    assert "symbolic_link" in result.output
    assert link.is_symlink()
    assert link.read_bytes() == before


def test_what_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "big"
    with path.open("wb") as handle:
        handle.truncate(1 << 40)
    with pytest.raises(Rejection) as error:
        read_regular(path, 1 << 20, "the side-car")
    assert error.value.reason == "file_too_large"


@pytest.mark.parametrize("path", ["../out.png", "sub/../../out.png"])
def test_no_name_leads_out(tmp_path, path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    with pytest.raises(Rejection) as error:
        write_private(root / path, b"x", root)
    assert error.value.reason == "link_in_out"
    assert not (tmp_path / "out.png").exists()


def hold(folder: Path, ready, end) -> None:
    with locked(folder, whole=True):
        ready.set()
        end.wait(60)


@pytest.fixture
def holder():
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    processes = []

    def start(folder: Path) -> int:
        process = context.Process(target=hold, args=(folder, ready, end))
        process.start()
        processes.append(process)
        assert ready.wait(60)
        return process.pid

    yield start
    end.set()
    for process in processes:
        process.join()


@pytest.mark.parametrize("held", [".", "out", "out/sub"])
def test_a_second_run_says_which_process_works_there(done, holder, held):
    Path(held).mkdir(exist_ok=True)
    pid = holder(Path(held))
    unfinished = done.out / ("sub" if held == "out/sub" else "") / ".mema-1-00000000.tmp"
    unfinished.write_bytes(b"of the run that goes on")
    result = done.deid()
    assert result.exit_code == 2
    assert f"process {pid} on " in result.output
    assert "let it end, then give the command again" in result.output
    new = write_key("new", "another horse battery")
    assert mema("rekey", done.out, "--key-file", done.key, "--new-key-file", new).exit_code == 2
    assert unfinished.exists()


def test_a_folder_is_free_after_a_run_and_after_a_kill(done, holder):
    assert not list(Path().rglob(LOCK))
    (done.out / LOCK).write_text("4711 on a machine that was switched off")
    assert done.deid().exit_code == 0
    assert not list(Path().rglob(LOCK))


def test_only_our_files_are_swept(tmp_path):
    ours = [".mema-12-0123abcd.tmp", "sub/.mema-1-ffffffff.tmp", ".IMG.JPG.4711.tmp", ".a.png.mema.1.tmp"]
    others = [
        ".mema-x.tmp",
        "mema-12-0123abcd.tmp",
        ".mema-12-0123abcd.tmp.txt",
        "a.tmp",
        ".notes.txt.12.tmp",
        ".12.tmp",
    ]
    (tmp_path / "sub").mkdir()
    for name in (*ours, *others):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".mema-13-0123abcd.tmp").symlink_to(tmp_path / "a.tmp")
    assert sweep(tmp_path, whole=False) == 3
    assert sweep(tmp_path, whole=True) == 1
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == {
        *others, ".mema-13-0123abcd.tmp",
    }  # fmt: skip


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(tmp_path / "a", b"x", tmp_path)
    assert list(tmp_path.iterdir()) == []
