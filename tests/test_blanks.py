"""Folders with blanks, quotes and letters beyond ASCII: in params.yaml, and round the checkout itself."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from mema.params import Params
from mema.project import dvc, remotes
from mema.runtime.entry import PACKAGES

ROOT = Path(__file__).parents[1]
TEMPLATE = re.compile(r"\$\{([\w.]+)\}")
COMMANDS = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ODD = "data/it's our {} (größte) & *best* #1; ~ ?"


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def value(document: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        document = document[part]
    return document


def test_every_path_of_params_arrives_whole(tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    keys = sorted({key for stage in COMMANDS.values() for key in TEMPLATE.findall(stage["cmd"])})
    assert keys
    for key in keys:
        *parents, last = key.split(".")
        value(document, ".".join(parents))[last] = ODD.format(last)
    document["release_key"] = {"path": "data/hospital/keys/release.key"}  # everybody's key is for phantoms alone
    Params.model_validate(document)  # these are allowed
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document, allow_unicode=True))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    with Repo(str(tmp_path)) as repo:
        rendered = {stage.name: stage.cmd for stage in repo.index.stages}
    assert set(rendered) == set(COMMANDS)
    seen = set()
    for name, command in rendered.items():
        expected = [document_word(document, word, seen) for word in COMMANDS[name]["cmd"].replace('"', "").split()]
        assert shlex.split(command) == expected
        script = f"python() {{ printf '%s\\0' python \"$@\"; }}; {command}"  # as the shell itself reads it
        told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert told.stdout.split("\0")[:-1] == expected
    assert seen == set(keys)


def document_word(document: dict[str, Any], word: str, seen: set[str]) -> str:
    if match := TEMPLATE.fullmatch(word):
        seen.add(match[1])
        return str(value(document, match[1]))
    assert "${" not in word
    return word


@pytest.mark.parametrize("path", ['data/"x"', "data/$HOME", "data/`id`", "data\\x", "data/a\nb", ""])
@pytest.mark.parametrize("field", ["patients", "public", "annotations"])
def test_what_a_shell_would_read_is_refused(field: str, path: str) -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["inputs"][field] = path
    with pytest.raises(ValueError, match=rf"(?s)inputs\.{field}.*(rename the folder|at least 1 character)"):
        Params.model_validate(document)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in an awkward folder, with this environment, and patients' photos in an awkward one."""
    folder = tmp_path / "Frau Müller's größtes Projekt"
    folder.mkdir()
    for name in (*PACKAGES, "flows"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "dvc.yaml", "constraints.txt", ".dvcignore", ".gitignore", ".dvc/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["inputs"]["patients"] = "data/unsere Fotos, größte"
    document["release_key"] = {"path": "data/hospital/keys/release.key"}  # the published one is for phantoms
    document["cohort"] |= {"num_patients": 4, "num_public": 8}
    (folder / "params.yaml").write_text(yaml.safe_dump(document, allow_unicode=True))
    git(folder, "init", "--quiet")
    run(folder, sys.executable, "-m", "phantom.stages.cohort", "--hospital", "data/unsere Fotos, größte",
        "--public", "data/public photos")  # fmt: skip
    return folder


def run(folder: Path, *command: str) -> str:
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "RAY_"))}
    done = subprocess.run(
        command, cwd=folder, env=variables | {"PYTHONPATH": str(folder)}, capture_output=True, text=True,
        timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_checkout_may_lie_in_any_folder(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(checkout))
    make = ("make", "--assume-old=.venv/.installed")
    assert "ingest_patients" in run(checkout, *make, "graph")
    lines: list[str] = []
    dvc.reproduce("ingest_patients", lines.append, checkout)
    assert list((checkout / "data/patients/faces").iterdir()), lines
    for name in remotes.NAMES:
        run(checkout, sys.executable, "-m", "dvc", "remote", "add", "--local", name, f"../the {name} one")
    assert remotes.configured(checkout)
