"""The chain holds as written, and breaks at any line that was changed, removed, moved or cut off."""

import json
import multiprocessing
import os

import pytest

from mema.hospital.audit.log import AuditError, Head, Log, head_path, parse_head, verify, who


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "hospital" / "audit.jsonl"
    for number in range(5):
        Log(path).append("restore", f"{number:064x}", f"request {number}")
    return path


def lines(log):
    return log.read_bytes().splitlines(keepends=True)


def test_a_line_says_who_when_what_and_why(log):
    entry = json.loads(lines(log)[2])
    assert (entry["seq"], entry["action"], entry["why"]) == (3, "restore", "request 2")
    assert entry["file_sha256"] == f"{2:064x}"
    assert entry["who"] == who()
    assert entry["when"].endswith("+00:00")
    assert entry["previous"] == json.loads(lines(log)[1])["hash"]
    assert verify(log) == Head(5, json.loads(lines(log)[4])["hash"])


@pytest.mark.parametrize("number", range(5))
def test_a_changed_line_is_named(log, number):
    changed = lines(log)
    changed[number] = changed[number].replace(b"request", b"Request")
    log.write_bytes(b"".join(changed))
    with pytest.raises(AuditError, match=f"line {number + 1}: was changed"):
        verify(log)


def test_every_flipped_byte_is_detected(log):
    whole = log.read_bytes()
    for place in range(0, len(whole), 23):
        log.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(AuditError):
            verify(log)


@pytest.mark.parametrize("number", range(4))
def test_a_removed_line_is_named(log, number):
    log.write_bytes(b"".join(lines(log)[:number] + lines(log)[number + 1 :]))
    with pytest.raises(AuditError, match=f"line {number + 1}: does not follow line {number}"):
        verify(log)


def test_moved_lines_are_detected(log):
    one, two, *rest = lines(log)
    log.write_bytes(b"".join([two, one, *rest]))
    with pytest.raises(AuditError, match="line 1: does not follow"):
        verify(log)


@pytest.mark.parametrize("kept", range(5))
def test_lines_cut_off_at_the_end_are_detected_and_end_the_writing(log, kept):
    log.write_bytes(b"".join(lines(log)[:kept]))
    for action in (lambda: verify(log), lambda: Log(log).append("restore", "0" * 64, "")):
        with pytest.raises(AuditError, match=f"ends at line {kept}, but 5 were written"):
            action()


def test_a_missing_head_or_log_is_detected(log):
    head_path(log).unlink()
    with pytest.raises(AuditError, match="head of the log is missing"):
        verify(log)
    log.unlink()
    with pytest.raises(AuditError, match="no such log"):
        verify(log)


def test_a_rewritten_chain_passes_until_it_is_held_against_a_noted_head(log, tmp_path):
    """The limit that the module states, and its remedy."""
    noted = parse_head(str(verify(log)))
    forged = tmp_path / "forged.jsonl"
    for number in range(6):
        Log(forged).append("restore", f"{number:064x}", "nothing to see")
    forged.replace(log)
    head_path(forged).replace(head_path(log))
    assert verify(log).seq == 6
    with pytest.raises(AuditError, match="line 5 is not the one that was noted"):
        verify(log, noted)


def test_a_noted_head_stays_in_a_chain_that_grew(log):
    noted = verify(log)
    Log(log).append("rekey", "0" * 64, "")
    assert verify(log, noted).seq == 6


def test_a_kill_between_line_and_head_is_no_tampering(log):
    before = head_path(log).read_text()
    Log(log).append("restore", "0" * 64, "the last")
    head_path(log).write_text(before)
    assert verify(log).seq == 6
    Log(log).append("restore", "0" * 64, "after the kill")
    assert verify(log).seq == 7


def test_a_line_that_a_kill_left_unfinished_is_cut_and_told(log):
    with log.open("ab") as handle:
        handle.write(b'{"action":"restore","file_sh')
    Log(log).append("restore", "0" * 64, "after the kill")
    assert verify(log).seq == 7
    cut = json.loads(lines(log)[5])
    assert (cut["action"], cut["why"]) == ("recover", "28 bytes of a line that was never finished")


def test_a_line_without_its_line_break_counts_as_cut_off(log):
    log.write_bytes(log.read_bytes()[:-1])
    with pytest.raises(AuditError, match="ends at line 4, but 5 were written"):
        Log(log).append("restore", "0" * 64, "")


def test_only_its_owner_reads_the_log(log):
    assert log.stat().st_mode & 0o077 == 0


def test_a_long_reason_is_refused(log):
    with pytest.raises(ValueError, match="why: 1001 characters, at most 1000"):
        Log(log).append("restore", "0" * 64, "x" * 1001)


def write_ten(log):
    for _ in range(10):
        Log(log).append("restore", "0" * 64, f"process {os.getpid()}")


def test_parallel_writers_make_one_chain(tmp_path):
    log = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_ten, args=(log,)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert verify(log).seq == 40
