"""Which version made a result, and a commit of results that leaves the branch of the code alone."""

import subprocess
from pathlib import Path

import pytest

from mema.project import versions


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of a repository with one commit; its origin is a bare one."""
    origin, folder = tmp_path / "origin", tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", "--bare", str(origin)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(origin), str(folder)], check=True, capture_output=True)
    (folder / "code.py").write_text("1")
    (folder / "dvc.lock").write_text("1")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin")
    return folder


def test_results_make_no_other_version_and_changed_code_does(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")[:10]
    (checkout / "dvc.lock").write_text("2")
    assert versions.commit(checkout) == head
    assert versions.commit_results("runs/one", pytest.fail, checkout)
    assert versions.commit(checkout) == head
    (checkout / "code.py").write_text("2")
    assert versions.commit(checkout) == f"{head}+"


def test_results_are_committed_on_their_branch_and_pushed(checkout: Path) -> None:
    branch = git(checkout, "branch", "--show-current")
    head = git(checkout, "rev-parse", "HEAD")
    assert not versions.commit_results("runs/one", pytest.fail, checkout)
    (checkout / "dvc.lock").write_text("2")
    (checkout / "code.py").write_text("not a result")
    assert versions.commit_results("runs/one", pytest.fail, checkout)
    assert git(checkout, "rev-parse", branch) == head
    assert git(checkout, "show", "--name-only", "--format=", "origin/runs/one") == "dvc.lock"


def test_an_origin_that_refuses_is_told_and_the_commit_stays(checkout: Path) -> None:
    git(checkout, "remote", "set-url", "origin", str(checkout.parent / "nowhere"))
    (checkout / "dvc.lock").write_text("2")
    told: list[str] = []
    assert versions.commit_results("runs/one", told.append, checkout)
    assert "git push origin runs/one" in told[0]
    assert git(checkout, "show", "runs/one:dvc.lock") == "2"


def test_outside_git_there_is_no_version(tmp_path: Path) -> None:
    assert versions.commit(tmp_path) == "unversioned"
