"""A cluster that asks for no token is not joined, and a token that others may read is none."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mema.project import doctor_services
from mema.runtime import cluster as crew
from mema.runtime import ray_access
from tests.e2e import ray_nodes

ABROAD = "192.0.2.7:6379"  # reserved for documents: nobody is there


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (ray_access.MODE, ray_access.TOKEN, ray_access.TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("mode", [None, "", "disabled", "k8s"])
@pytest.mark.parametrize("address", [ABROAD, "auto", "ray://head.invalid:10001", "0.0.0.0:6379"])
def test_without_token_mode_no_other_machine_s_cluster_is_joined(
    mode: str | None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode is not None:
        monkeypatch.setenv(ray_access.MODE, mode)
    with pytest.raises(ValueError, match=r"RAY_AUTH_MODE: .* is joined without a token; start every node with"):
        ray_access.require_closed(address)


@pytest.mark.parametrize("address", ["127.0.0.1:6379", "localhost:1", "ray://127.0.0.5:10001", "[::1]:6379"])
def test_a_cluster_on_this_machine_s_loopback_may_be_open(address: str) -> None:
    """It is joined without a token, where the same address by another rule is refused."""
    assert ray_access.require_closed(address) is None
    with pytest.raises(ValueError, match="RAY_AUTH_MODE"):
        ray_access.require_token(address)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_token_that_others_read_is_refused(mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ray_access.MODE, "token")
    with pytest.raises(ValueError, match=r"no token at .*\.ray/auth_token; copy the head's there, mode 0600"):
        ray_access.require_closed("127.0.0.1:6379")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("t" * 64)
    (tmp_path / ".ray/auth_token").chmod(mode)
    with pytest.raises(ValueError, match=r"others may read .*; chmod 600 it"):
        ray_access.require_closed("127.0.0.1:6379")
    (tmp_path / ".ray/auth_token").chmod(0o600)
    ray_access.require_closed("127.0.0.1:6379")


@pytest.mark.parametrize("address", ["auto", "ray://head.invalid:10001"])
def test_a_cluster_that_cannot_be_asked_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ray_access.MODE, "token")
    monkeypatch.setenv(ray_access.TOKEN, "t" * 64)
    with pytest.raises(ValueError, match="cannot be asked whether it wants a token; allowed: the head's host:port"):
        ray_access.require_closed(address)


def test_a_stage_joins_nothing_abroad_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", ABROAD)
    monkeypatch.setattr(crew, "_probe", lambda address: None)  # somebody listens there
    with pytest.raises(ValueError, match="is joined without a token"):
        crew._connect()


@pytest.fixture
def folder() -> Iterator[Path]:
    # Ray's sockets have paths of at most 107 bytes, which pytest's own folders exceed
    made = Path(tempfile.mkdtemp(prefix="mema-ray-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_an_open_head_is_told_from_one_that_wants_a_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ray_nodes.cluster(folder, others=0, num_cpus=3) as (address, _):
        monkeypatch.setenv("RAY_ADDRESS", address)
        ray_access.require_token(address)
        finding = doctor_services._ray("Ray")
        assert (finding.remedy, finding.found) == ("", f"1 nodes, 3 CPUs, 0 GPUs at {address}")
    with ray_nodes.cluster(folder / "open", others=0, closed=False) as (address, _):
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert "is joined without a token" in doctor_services._ray("Ray").found
        monkeypatch.setenv(ray_access.MODE, "token")
        monkeypatch.setenv(ray_access.TOKEN, "t" * 64)
        finding = doctor_services._ray("Ray")
        assert finding.fatal
        assert f"{address} answers without a token" in finding.found
        assert finding.remedy.startswith("start every node with RAY_AUTH_MODE=token")
