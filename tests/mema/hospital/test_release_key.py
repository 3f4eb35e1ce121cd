"""The hospital's secret: made once, readable by its owner alone, and never the one that everybody knows."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from flows.workspace import MARK
from mema.hospital.release_key import WORKSPACE, release_key
from mema.params import load
from mema.params.hospital import ReleaseKey
from tests.worlds.profiles import profile_values

ROOT = Path(__file__).parents[3]
PUBLISHED = ReleaseKey(path="", published="phantom-key")


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    return tmp_path / "checkout"


def hospital(path: str | Path = "data/hospital/keys/release.key") -> ReleaseKey:
    return ReleaseKey(path=str(path))


def test_a_hospitals_key_is_made_once_for_its_owner_alone(checkout: Path) -> None:
    first = release_key(hospital(), "donors")
    file = checkout / "data/hospital/keys/release.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["release.key"]
    assert len(first) == 32
    assert first != bytes.fromhex(file.read_text().strip())
    assert release_key(hospital(), "donors") == first
    file.unlink()
    assert release_key(hospital(), "donors") != first


def test_each_purpose_has_bytes_of_its_own() -> None:
    assert release_key(PUBLISHED, "donors") == release_key(PUBLISHED, "donors")
    assert release_key(PUBLISHED, "donors") != release_key(PUBLISHED, "noise")
    assert release_key(PUBLISHED, "donors") != release_key(ReleaseKey(path="", published="phantom-b"), "donors")
    with pytest.raises(ValueError, match="a key without a purpose"):
        release_key(PUBLISHED, "")


def test_many_at_once_make_one_key(tmp_path: Path) -> None:
    section = hospital(tmp_path / "elsewhere/release.key")
    with ThreadPoolExecutor(16) as pool:
        made = set(pool.map(lambda _: release_key(section, "donors"), range(64)))
    assert len(made) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(checkout: Path, mode: int) -> None:
    release_key(hospital(), "donors")
    (checkout / "data/hospital/keys/release.key").chmod(mode)
    with pytest.raises(ValueError, match=r"allowed: a file that its owner alone reads; chmod 600"):
        release_key(hospital(), "donors")


@pytest.mark.parametrize(
    "content", ["", "phantom-key-that-everybody-knows", "00" * 32, "ab" * 31, "zz" * 32, "é" * 32, "0123" * 64]
)
def test_what_is_no_key_is_refused_and_left_as_it_is(checkout: Path, content: str) -> None:
    file = checkout / "data/hospital/keys/release.key"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ValueError, match=r"holds no key; allowed: 64 random hex digits; take it from the backup"):
        release_key(hospital(), "donors")
    assert file.read_text() == content


def test_neither_a_link_nor_a_pipe_is_followed(checkout: Path, tmp_path: Path) -> None:
    release_key(hospital(tmp_path / "other.key"), "donors")
    folder = checkout / "data/hospital/keys"
    folder.mkdir(parents=True)
    (folder / "link.key").symlink_to(tmp_path / "other.key")
    (folder / "dangling.key").symlink_to(tmp_path / "missing.key")
    os.mkfifo(folder / "pipe.key", 0o600)
    for name in ("link.key", "dangling.key"):
        with pytest.raises(OSError, match="symbolic links"):
            release_key(hospital(f"data/hospital/keys/{name}"), "donors")
    with pytest.raises(ValueError, match=r"is prw-------; allowed: a file"):
        release_key(hospital("data/hospital/keys/pipe.key"), "donors")
    assert not (tmp_path / "missing.key").exists()


def test_a_workers_checkout_makes_no_key_of_its_own(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".git").mkdir()
    (checkout / ".git" / MARK).touch()
    assert WORKSPACE.name == MARK
    with pytest.raises(ValueError, match=r"must not make a key of its own.*; name the hospital's key by an absolute"):
        release_key(hospital(), "donors")
    assert not (checkout / "data").exists()


@pytest.mark.parametrize(
    "path", ["release.key", "data/mema/release.key", "../release.key", "data/hospital/keys/../../mema/release.key",
             "data/hospital/raw/release.key"],
)  # fmt: skip
def test_a_key_where_it_may_leave_is_refused(checkout: Path, path: str) -> None:
    for each in (path, str(checkout / path)) if ".." not in path else (path,):
        with pytest.raises(ValueError, match=r"allowed: below data/hospital/keys, or an absolute path"):
            hospital(each)
    hospital(checkout.parent / "release.key")


@pytest.mark.parametrize(
    ("changes", "inputs"),
    [
        ({"profile": "paper"}, {}),
        ({"profile": "photos"}, {}),
        ({}, {"patients": "data/hospital/raw"}),
        ({}, {"patients": "data/phantom/../hospital/raw"}),
        ({}, {"patients": "data/phantoms_of_ours"}),
    ],
)
def test_a_hospital_may_not_use_the_key_that_everybody_knows(checkout: Path, changes: dict, inputs: dict) -> None:
    document = profile_values() | changes
    document["inputs"] |= inputs
    file = checkout / "params.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(ValueError, match=r"release_key\.published: everybody knows this key"):
        load(file)
    document["release_key"] = {"path": "data/hospital/keys/release.key"}
    file.write_text(yaml.safe_dump(document))
    assert not load(file).release_key.published


def test_one_key_is_given_and_no_hex_stands_in_params() -> None:
    for values in ({"path": ""}, {"path": "/x.key", "published": "phantom-key"}):
        with pytest.raises(ValueError, match=r"release_key: path and published are both"):
            ReleaseKey(**values)
    with pytest.raises(ValueError, match=r"published"):
        ReleaseKey(path="", published="ab" * 32)


def test_git_and_dvc_leave_the_zone_alone() -> None:
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo:
        assert repo.dvcignore.is_ignored_dir(str(ROOT / "data/hospital/keys"))
        assert repo.scm.is_ignored(str(ROOT / "data/hospital/keys/release.key"))
