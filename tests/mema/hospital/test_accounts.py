"""What is asked for is logged where the side-car says, and whatever one file does, the others are done."""

import csv
import errno
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load, save

from mema.hospital.audit.trail import Trail
from mema.hospital.contents import pack, unpack
from mema.hospital.outcome import conclude, run_jobs, table
from mema.hospital.places import Job, Todo, sidecar_of
from mema.hospital.sidecar import FIXED, HEADER_BYTES, VARIABLE, open_sealed, seal
from models.concealing.passwords import Passphrase
from models.photos.rejection import Rejection
from tests.mema.hospital.workspace import PASSPHRASE, SECTION, encoded, mema, rejected, smooth, write_key


@pytest.fixture
def done(hospital):
    for number, name in enumerate(("a.png", "b.JPG")):
        (hospital.photos / name).write_bytes(encoded(smooth(number), "PNG"))
    assert hospital.deid("--keep-original").exit_code == 0
    return hospital


def entries(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def actions(log: Path) -> list[str]:
    return [entry["action"] for entry in entries(log)]


def test_exact_wants_its_own_picture_and_logs_what_was_sealed(done):
    own = done.out / "a.png.png"
    digest = entries(done.log)[1]["file_sha256"]
    stranger = done.out / "b.JPG.png"
    own.rename(done.out / "kept")
    own.write_bytes(stranger.read_bytes())
    result = mema("restore", own, "x.png", "--key-file", done.key, "--exact", "--allow-changed")
    assert (result.exit_code, Path("x.png").exists()) == (1, False)
    result = mema("restore", own, "x.png", "--key-file", done.key, "--exact")
    assert result.exit_code == 1
    assert "picture_changed" in result.output
    assert not Path("x.png").exists()
    own.unlink()
    (done.out / "kept").rename(own)
    assert mema("restore", own, "x.png", "--key-file", done.key, "--exact", "--why", "7").exit_code == 0
    last = entries(done.log)[-1]
    assert (last["action"], last["file_sha256"], last["why"]) == ("restore_exact", digest, "7")


def own_params(log: str) -> None:
    """As a person would who wants no line in the hospital's log."""
    Path("params.yaml").write_text(yaml.safe_dump({"deid_files": SECTION | {"audit_log": log}}))


@pytest.mark.parametrize("command", ["restore", "rekey"])
def test_a_params_yaml_of_one_s_own_does_not_leave_the_hospital_s_log_out(done, command):
    new = write_key("new", "another horse battery")
    more = ("x.png",) if command == "restore" else ("--new-key-file", new)
    before = actions(done.log)
    own_params("mine/audit.jsonl")
    assert mema(command, done.out / "a.png.png", *more, "--key-file", done.key, "--why", "curious").exit_code == 0
    assert actions(done.log) == [*before, command]
    assert actions(Path("mine/audit.jsonl")) == ["begin", command]
    assert entries(done.log)[-1]["why"] == "curious"


@pytest.mark.parametrize("command", ["restore", "rekey"])
@pytest.mark.parametrize("loss", ["moved", "made anew"])
def test_without_the_log_of_its_side_car_nothing_is_given_back(done, command, loss):
    new = write_key("new", "another horse battery")
    more = ("x.png",) if command == "restore" else ("--new-key-file", new)
    sealed = sidecar_of(done.out / "a.png.png").read_bytes()
    Path("log").rename("away")
    if loss == "moved":
        own_params("mine/audit.jsonl")
    result = mema(command, done.out / "a.png.png", *more, "--key-file", done.key)
    assert result.exit_code == 1
    assert "other_log: it was sealed under the audit log" in result.output
    assert not Path("x.png").exists()
    assert sidecar_of(done.out / "a.png.png").read_bytes() == sealed
    own_params("away/audit.jsonl")
    assert mema(command, done.out / "a.png.png", *more, "--key-file", done.key).exit_code == 0


def test_a_log_that_was_put_aside_is_still_that_log(done):
    assert mema("audit", "rotate", "--why", "a new year").exit_code == 0
    assert mema("restore", done.out / "a.png.png", "x.png", "--key-file", done.key).exit_code == 0
    verified = mema("audit", "verify")
    assert verified.exit_code == 0
    assert "6 lines, unanchored; head" in verified.output
    head = verified.output.split("head ")[1].strip()
    assert "6 lines, the chain holds" in mema("audit", "verify", "--head", head).output


def test_a_log_begun_anew_is_never_said_to_hold(done):
    head = mema("audit", "verify").output.split("head ")[1].strip()
    for path in done.log.parent.iterdir():
        path.unlink()
    (done.photos / "c.png").write_bytes(encoded(smooth(9)))
    assert done.deid().exit_code in (0, 1)
    fresh = mema("audit", "verify")
    assert "unanchored" in fresh.output
    assert "the chain holds" not in fresh.output
    assert mema("audit", "verify", "--head", head).exit_code == 2


def test_a_second_place_anchors_the_log(hospital):
    own = {"deid_files": SECTION | {"audit_second": "elsewhere/second.jsonl"}}
    Path("params.yaml").write_text(yaml.safe_dump(own))
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    assert hospital.deid().exit_code == 0
    assert "2 lines, the chain holds" in mema("audit", "verify").output
    for path in hospital.log.parent.iterdir():
        path.unlink()
    (hospital.photos / "b.png").write_bytes(encoded(smooth(2)))
    hospital.deid()
    verified = mema("audit", "verify")
    assert verified.exit_code == 2
    assert "chain holds" not in verified.output


def test_what_was_refused_is_logged_without_a_name(done):
    (done.photos / "Miller.png").write_bytes(b"no picture")
    assert done.deid("--why", "batch 4").exit_code == 1
    other, new = write_key("other", "a passphrase of others"), write_key("new", "another horse battery")
    mema("restore", done.out, "back", "--key-file", other, "--why", "curious")
    mema("rekey", done.out, "--key-file", other, "--new-key-file", new, "--why", "me too")
    log = entries(done.log)[3:]
    assert [(entry["action"], entry["why"]) for entry in log] == [
        ("deid_refused", "batch 4 (not_an_image)"),
        *[("restore_refused", "curious (sidecar_refused)")] * 2,
        *[("rekey_refused", "me too (sidecar_refused)")] * 2,
    ]
    assert len({entry["file_sha256"] for entry in log}) == 5
    assert b"Miller" not in done.log.read_bytes()


def test_the_quarantine_never_lies_in_the_folder_that_leaves(done):
    (done.photos / "bad.png").write_bytes(b"no")
    (done.out / "quarantine.csv").write_text("file,reason,detail\nMiller.jpg,no_face,\n")  # an earlier version's
    assert done.deid().exit_code == 1
    assert not list(done.out.rglob("*.csv"))
    own = {"deid_files": SECTION | {"reports": "hospital"}}
    Path("params.yaml").write_text(yaml.safe_dump(own))
    assert done.deid().exit_code == 1
    (quarantine,) = Path("hospital").rglob("quarantine.csv")
    assert [row["file"] for row in csv.DictReader(quarantine.open())] == ["bad.png"]
    own["deid_files"]["reports"] = "out/hospital"
    Path("params.yaml").write_text(yaml.safe_dump(own))
    result = done.deid()
    assert result.exit_code == 2
    assert "lies within OUT, which leaves the hospital" in result.output


def test_a_cell_is_never_a_formula():
    cells = ("=1", "+1", "-1", "@a", "\t=1", "  =1", "\uff1d1", "plain", "", "a=b", 7)
    row = next(csv.reader(table(("head",) * len(cells), [cells]).splitlines()[1:]))
    assert row == ["'=1", "'+1", "'-1", "'@a", "'\t=1", "'  =1", "'\uff1d1", "plain", "", "a=b", "7"]


def costly(data: bytes, iterations: int, memory_kib: int) -> bytes:
    """Write another cost into a side-car's header, which nothing authenticates before it is paid."""
    _, _, lanes, salt, nonce = VARIABLE.unpack_from(data, FIXED.size)
    return data[: FIXED.size] + VARIABLE.pack(iterations, memory_kib, lanes, salt, nonce) + data[HEADER_BYTES:]


@pytest.mark.parametrize(("iterations", "memory_kib"), [(16, 1 << 20), (1, 1 << 20), (16, 1 << 17), (16, 65536)])
def test_a_costly_header_costs_nothing_and_says_what_to_do(done, iterations, memory_kib):
    sidecar = sidecar_of(done.out / "a.png.png")
    sidecar.write_bytes(costly(sidecar.read_bytes(), iterations, memory_kib)[:159])
    start = time.process_time()
    result = mema("restore", done.out / "a.png.png", "x.png", "--key-file", done.key)
    assert time.process_time() - start < 1
    assert result.exit_code == 1
    assert f"{memory_kib} KiB and {iterations} passes" in result.output
    assert "set deid_files.argon2_memory_kib and argon2_iterations" in result.output


def test_a_side_car_of_another_honest_cost_opens(done):
    """RFC 9106's second choice opens where the hospital has set less."""
    sidecar = sidecar_of(done.out / "a.png.png")
    contents, keys = open_sealed(sidecar.read_bytes(), Passphrase(PASSPHRASE))
    sidecar.write_bytes(seal(contents, keys, Passphrase(PASSPHRASE)))
    assert mema("restore", done.out / "a.png.png", "x.png", "--key-file", done.key).exit_code == 0


def as_before(contents: bytes) -> bytes:
    """Return sealed contents as the version before wrote them."""
    length = int.from_bytes(contents[:8], "little")
    texts = json.loads(json.loads(contents[8 : 8 + length])["__metadata__"]["contents"])
    texts = {name: texts[name] for name in texts if name not in ("source_name", "audit_log", "audit_place")}
    return save(load(contents), {"contents": json.dumps(texts)})


def test_what_an_earlier_version_wrote_opens_and_rekey_binds_it_to_the_log(done):
    passphrase = Passphrase(PASSPHRASE)
    for new, old in (("a.png.png", "a.png"), ("b.JPG.png", "b.png")):
        contents, keys = open_sealed(sidecar_of(done.out / new).read_bytes(), passphrase)
        contents = as_before(pack(replace(unpack(contents), original_suffix=Path(new).suffixes[0].lower())))
        sidecar_of(done.out / old).write_bytes(seal(contents, keys, passphrase))
        sidecar_of(done.out / new).unlink()
        (done.out / new).rename(done.out / old)
    new = write_key("new", "another horse battery")
    assert mema("restore", done.out, "back", "--key-file", done.key, "--exact").exit_code == 0
    assert {path.name for path in Path("back").iterdir()} == {"a.png", "b.jpg"}
    assert Path("back/b.jpg").read_bytes() == (done.photos / "b.JPG").read_bytes()
    assert mema("rekey", done.out, "--key-file", done.key, "--new-key-file", new).exit_code == 0
    bound = unpack(open_sealed(sidecar_of(done.out / "b.png").read_bytes(), Passphrase("another horse battery"))[0])
    assert bound.audit_log == entries(done.log)[0]["hash"]
    assert mema("restore", done.out, "again", "--key-file", new).exit_code == 0


def test_a_restored_file_is_not_taken_for_another(done):
    Path("back").mkdir()
    Path("back/a.png.png").write_bytes(b"something else")
    result = mema("restore", done.out, "back", "--key-file", done.key)
    assert result.exit_code == 1
    assert rejected(Path("back"), "restore") == {"a.png.png": "out_exists"}
    again = mema("restore", done.out, "back", "--key-file", done.key)
    assert "1 done before, 1 failed" in again.output
    assert Path("back/a.png.png").read_bytes() == b"something else"


FAULTS = {
    "permission": (PermissionError(errno.EACCES, "Permission denied", "Miller.jpg"), "file_error"),
    "name": (OSError(errno.ENAMETOOLONG, "File name too long", "Miller.jpg"), "name_too_long"),
    "memory": (MemoryError(), "too_large"),
    "decoder": (RuntimeError("Miller.jpg is damaged"), "unexpected_error"),
    "value": (ValueError("Miller.jpg"), "unexpected_error"),
    "photo": (Rejection("no_face"), "no_face"),
}


def jobs(root: Path, *names: str) -> Todo:
    return Todo([Job(name, root / name, root / name, root) for name in names])


def test_whatever_one_file_raises_is_its_reason(tmp_path, capsys):
    def work(job: Job) -> int:
        if job.name in FAULTS:
            raise FAULTS[job.name][0]
        return 1

    trail = Trail.of(str(tmp_path / "log"), "", "")
    run = run_jobs(jobs(tmp_path, "first", *FAULTS, "last"), work, "deid", trail)
    assert {done.name: done.reason for done in run.results if done.reason} == {
        name: reason for name, (_, reason) in FAULTS.items()
    }
    assert conclude(run, "de-identified", tmp_path / "zone") == 1
    told = capsys.readouterr()
    assert "8 files: 2 de-identified (2 faces), 6 failed" in told.err
    assert "Miller" not in told.err + told.out + (tmp_path / "zone/quarantine.csv").read_text()
    assert len(entries(tmp_path / "log")) == 6


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_what_would_fail_for_all_ends_the_run_with_its_account(tmp_path, capsys, error):
    def work(job: Job) -> int:
        if job.name == "b":
            raise error
        return 1

    run = run_jobs(jobs(tmp_path, "a", "b", "c"), work, "deid", Trail.of(str(tmp_path / "log"), "", ""))
    assert conclude(run, "de-identified", tmp_path / "zone") == 2
    told = capsys.readouterr()
    assert "1 files: 1 de-identified (1 faces), 2 not done" in told.err + told.out
    assert "the run ended early: " in told.err


def test_a_log_that_cannot_be_written_ends_the_run_with_its_account(done):
    (done.photos / "c.png").write_bytes(encoded(smooth(7)))
    os.rename(done.log, "kept")
    done.log.mkdir()
    result = done.deid()
    assert result.exit_code == 2
    assert "2 done before, 1 not done" in result.output
    assert "the audit log must be a file" in result.output
    assert not (done.out / "c.png.png").exists()
