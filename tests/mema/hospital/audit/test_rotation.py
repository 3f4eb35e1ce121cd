"""The chain goes on over files that were put aside, and in a second place; nobody makes it anew unseen."""

import json
import multiprocessing
import os
import socket
from pathlib import Path

import pytest

from mema.hospital.audit.log import AuditError, Head, Log, Sink, head_path, parse_head, rotated, verify


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "audit.jsonl")


def fill(log, num=3):
    for number in range(num):
        log.append("restore", f"{number:064x}", f"request {number}")


def test_the_chain_goes_on_over_files_that_were_put_aside(log):
    fill(log)
    identity, noted = log.identity(), verify(log.path)
    aside = log.rotate("a new year")
    assert aside.name == "audit.jsonl.000001"
    assert verify(log.path, noted).seq == 5  # three, rotate, continue
    fill(log)
    log.rotate()
    fill(log, 1)
    assert [path.name[-1] for path in rotated(log.path)] == ["1", "2"]
    assert verify(log.path, noted).seq == 11
    assert log.identity() == identity
    entries = [json.loads(line) for path in (*rotated(log.path), log.path) for line in path.open()]
    assert [entry["seq"] for entry in entries] == list(range(1, 12))
    assert entries[3]["why"] == "a new year"


@pytest.mark.parametrize("lost", [0, 1])
def test_a_file_that_was_put_aside_and_is_lost_is_told(log, lost):
    for _ in range(2):
        fill(log)
        log.rotate()
    fill(log)
    rotated(log.path)[lost].unlink()
    with pytest.raises(AuditError, match="a file that was put aside is missing"):
        verify(log.path)
    with pytest.raises(AuditError, match="bring that back") if lost == 0 else pytest.raises(AuditError):
        log.rotate()
        verify(log.path)


def test_a_change_in_a_file_that_was_put_aside_is_told(log):
    fill(log)
    aside = log.rotate()
    aside.write_bytes(aside.read_bytes().replace(b"request 1", b"request 9"))
    with pytest.raises(AuditError, match=r"000001, line 2: was changed"):
        verify(log.path)


def test_a_kill_between_putting_aside_and_going_on_is_mended(log):
    fill(log)
    before = log.identity()
    log.path.rename(log.path.with_name("audit.jsonl.000001"))
    assert verify(log.path).seq == 3
    fill(log, 1)
    assert verify(log.path).seq == 5
    assert log.identity() == before


def test_the_log_that_was_deleted_leaves_no_chain_that_holds_against_a_noted_head(log):
    fill(log)
    noted, identity = parse_head(str(verify(log.path))), log.identity()
    for path in (log.path, head_path(log.path)):
        path.unlink()
    with pytest.raises(AuditError, match="there is no such log and no head"):
        verify(log.path)
    fill(log, 9)
    assert log.identity() != identity
    with pytest.raises(AuditError, match="line 3 is not the one that was noted"):
        verify(log.path, noted)


def test_a_new_log_begins_with_its_identity(log):
    assert log.identity() == log.identity() == verify(log.path).hash
    assert json.loads(log.path.read_text())["action"] == "begin"


def test_an_earlier_version_s_log_has_an_identity(log):
    fill(log, 1)
    first = json.loads(log.path.read_text())
    assert log.identity() == first["hash"]
    assert verify(log.path) == Head(1, first["hash"])


def write_and_rotate(path):
    log = Log(path, Sink(f"{path}.second"))
    for number in range(12):
        log.append("restore", "0" * 64, "")
        if number % 4 == 3:
            log.rotate()


def test_parallel_writers_and_rotations_make_one_chain(log):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_and_rotate, args=(log.path,)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    second = log.path.with_name("audit.jsonl.second")
    assert verify(log.path, second=second).seq == 3 * (12 + 2 * 3)
    assert len(rotated(log.path)) == 9


@pytest.fixture
def doubled(tmp_path):
    return Log(tmp_path / "audit.jsonl", Sink(str(tmp_path / "elsewhere" / "second.jsonl")))


def test_each_line_stands_in_the_second_file(doubled):
    fill(doubled)
    second = doubled.sink.file
    assert second.read_bytes() == doubled.path.read_bytes()
    assert second.stat().st_mode & 0o077 == 0
    assert verify(doubled.path, second=second).seq == 3


def test_a_log_made_anew_is_told_by_the_second_file(doubled):
    fill(doubled)
    second = doubled.sink.file
    doubled.path.unlink()
    head_path(doubled.path).unlink()
    fill(Log(doubled.path))
    with pytest.raises(AuditError, match="line 1: isn't in the log"):
        verify(doubled.path, second=second)
    second.unlink()
    with pytest.raises(AuditError, match="the second log is missing"):
        verify(doubled.path, second=second)


@pytest.mark.parametrize("kept", [0, 40, -1])
def test_a_kill_between_log_and_second_file_is_mended(doubled, kept):
    fill(doubled)
    second = doubled.sink.file
    lines = second.read_bytes().splitlines(keepends=True)
    second.write_bytes(b"".join(lines[:2]) + lines[2][:kept])
    assert verify(doubled.path, second=second).seq == 3
    fill(doubled, 1)
    assert second.read_bytes() == doubled.path.read_bytes()


def test_lines_that_the_second_file_lost_are_told(doubled):
    fill(doubled, 4)
    second = doubled.sink.file
    lines = second.read_bytes().splitlines(keepends=True)
    for kept in (lines[:2], lines[:1] + lines[2:]):
        second.write_bytes(b"".join(kept))
        with pytest.raises(AuditError, match=r"ends before the log|does not follow"):
            verify(doubled.path, second=second)


def test_a_second_place_that_takes_nothing_ends_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (f"{tmp_path}/file/second", f"syslog:{tmp_path}/nobody"):
        log = Log(tmp_path / "audit.jsonl", Sink(place))
        with pytest.raises(AuditError, match="without the audit log nothing is done"):
            log.append("restore", "0" * 64, "")


def test_the_system_s_log_gets_each_line(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "log"))
        journal.settimeout(10)
        fill(Log(tmp_path / "audit.jsonl", Sink(f"syslog:{tmp_path}/log")), 2)
        got = [journal.recv(1 << 16) for _ in range(2)]
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    assert got == [b"<85>mema: " + line for line in lines]


def test_a_log_that_is_a_link_or_a_folder_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "other")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "link", tmp_path / "folder", tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(AuditError, match="the audit log must be a file"):
            Log(path).append("restore", "0" * 64, "")
        with pytest.raises(AuditError, match="the audit log must be a file"):
            verify(path)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("content", [b"garbage", b"", b"\xff\xfe", b"3:short"])
def test_a_head_that_was_changed_is_told(log, content):
    fill(log)
    head_path(log.path).write_bytes(content)
    with pytest.raises(AuditError, match="head: was changed; take both files from a backup"):
        verify(log.path)


def test_a_long_reason_for_putting_aside_is_refused(log):
    fill(log)
    with pytest.raises(ValueError, match="why: 1001 characters"):
        log.rotate("x" * 1001)
    assert not rotated(log.path)
