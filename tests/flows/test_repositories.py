"""A worker clones from its own list alone, however a server spells what it wants."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import repositories, workspace

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost")


def git(folder: Path, *words: str) -> str:
    return subprocess.run([*GIT, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def repository(folder: Path, text: str) -> str:
    """Make a repository of one commit; return it."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    (folder / "whose").write_text(text)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin")
    return git(folder, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "spelling",
    [
        "https://git.example.org/eye/mema",
        "https://git.example.org/eye/mema.git",
        "https://git.example.org/eye/mema.git/",
        "https://GIT.Example.org:443/Eye/mema",
        "https://nurse:word@git.example.org//eye/./x/../mema",
        "ssh://git@git.example.org:22/eye/mema.git",
        "git@git.example.org:eye/mema.git",
        "git.example.org:/eye/mema",
    ],
)
def test_every_spelling_of_an_address_is_the_entry_of_the_list(spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMA_REPOSITORIES", "https://git.example.org/eye/mema.git")
    assert repositories.allowed(spelling) == "https://git.example.org/eye/mema.git"


@pytest.mark.parametrize(
    "spelling",
    [
        "https://git.example.org/eye/mema2",
        "https://git.example.org/eye/mema/../other",
        "https://git.example.org:8443/eye/mema",
        "https://git.example.org.evil.org/eye/mema",
        "https://evil.org/git.example.org/eye/mema",
        "https://git.example.org@evil.org/eye/mema",
        "git@evil.org:eye/mema",
        "ext::sh -c 'touch here' git.example.org/eye/mema",
        "--upload-pack=touch here",
        "file://git.example.org/eye/mema",
        "eye/mema",
        "../mema",
        "",
    ],
)
def test_another_place_is_refused(spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMA_REPOSITORIES", "https://git.example.org/eye/mema.git")
    with pytest.raises(ValueError, match="is none that this worker clones from; allowed: https"):
        repositories.allowed(spelling)


def test_a_login_in_an_address_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMA_REPOSITORIES", "https://me:hush@git.example.org/eye/mema.git")
    with pytest.raises(ValueError, match="allowed") as error:
        repositories.allowed("https://you:shush@evil.org/x")
    assert "hush" not in str(error.value)


def test_folders_are_compared_after_their_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = tmp_path / "my größte", tmp_path / "other"
    repository(mine, "mine")
    repository(other, "other")
    (tmp_path / "link").symlink_to(mine)
    (tmp_path / "lure").symlink_to(other)
    monkeypatch.setenv("MEMA_REPOSITORIES", f"'{tmp_path / 'link'}'")
    quoted = str(mine).replace(" ", "%20")
    for spelling in (mine, f"{mine}/", mine / ".git", tmp_path / "link", f"file://{quoted}", f"file://localhost{mine}"):
        assert repositories.allowed(str(spelling)) == str(tmp_path / "link")
    for spelling in (other, tmp_path / "lure", tmp_path, f"{mine}/../other", str(mine).upper(), "my größte"):
        with pytest.raises(ValueError, match="none that this worker clones from"):
            repositories.allowed(str(spelling))


def test_without_a_list_it_is_the_workers_own_checkout_and_its_remotes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    repository(mine, "mine")
    git(mine, "remote", "add", "origin", "git@git.example.org:eye/mema.git")
    git(mine, "remote", "add", "near", "../bare.git")
    monkeypatch.delenv("MEMA_REPOSITORIES", raising=False)
    monkeypatch.setattr(repositories, "ROOT", mine)
    assert repositories.allowed(str(mine)) == str(mine)
    assert repositories.allowed("https://git.example.org/eye/mema") == "git@git.example.org:eye/mema.git"
    assert repositories.allowed(f"{tmp_path}/bare.git") == str(mine / "../bare.git")
    with pytest.raises(ValueError, match="none that this worker clones from"):
        repositories.allowed(str(tmp_path))


@pytest.mark.parametrize(
    "commit", ["main", "HEAD", COMMIT[:12], COMMIT.upper(), f"{COMMIT}\n", f"--{COMMIT}", "", f"{COMMIT}~1"]
)
def test_a_commit_is_named_in_full(commit: str) -> None:
    assert repositories.whole_commit(COMMIT) == COMMIT
    with pytest.raises(ValueError, match="allowed: 40 or 64 lower-case hex digits"):
        repositories.whole_commit(commit)


def test_a_clone_is_of_the_list_and_of_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = repository(tmp_path / "my project's", "mine")
    theirs = repository(tmp_path / "theirs", "theirs")
    place = tmp_path / "work spaces ä"
    monkeypatch.setenv("MEMA_WORKSPACE", str(place))
    monkeypatch.setenv("MEMA_REPOSITORIES", f'"{tmp_path / "my project"}\'s"')
    with pytest.raises(ValueError, match="none that this worker clones from"):
        workspace.prepare(str(tmp_path / "theirs"), theirs)
    with pytest.raises(ValueError, match="hex digits"):
        workspace.prepare(str(tmp_path / "my project's"), "main")
    assert not place.exists()
    folder = Path(workspace.prepare(str(tmp_path / "my project's"), commit)["directory"])
    assert (folder / "whose").read_text() == "mine"
    assert folder == place / commit
    assert workspace.prepare(f"file://{tmp_path}/my%20project's/", commit)["directory"] == str(folder)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"PREFECT_SERVER_API_HOST": "0.0.0.0"}, "allowed is a loopback address"),
        ({"PREFECT_SERVER_API_HOST": "::"}, "put a proxy with a certificate before it"),
        ({"PREFECT_SERVER_API_HOST": "192.0.2.7"}, "PREFECT_SERVER_API_HOST: 192.0.2.7"),
        ({"PREFECT_SERVER_API_AUTH_STRING": "admin:pass"}, "the password of 16 characters or more"),
        ({"PREFECT_API_AUTH_STRING": "no colon but long enough"}, "must be user:password"),
    ],
)
def test_a_server_that_others_could_use_does_not_start(variables: dict[str, str], told: str) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    command = [sys.executable, "-m", "flows.server"]
    done = subprocess.run(
        command, cwd=ROOT, env=kept | variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
