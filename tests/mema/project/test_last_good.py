"""A stage that fails after DVC has deleted its outs: in real DVC projects, what was good is there again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mema.project import dvc, process

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow

GATE = """
import json, pathlib, sys
wanted, said = int(pathlib.Path("wanted.txt").read_text()), pathlib.Path("answers.txt").read_text().split()
pathlib.Path("gate.json").write_text(json.dumps({"answers": len(said)}))
if len(said) < wanted:
    sys.exit(f"{wanted - len(said)} answers are missing")
for name in ("mema", "seg"):
    pathlib.Path(name).mkdir()
    pathlib.Path(name, "rows.txt").write_text(" ".join(said))
pathlib.Path("counts.json").write_text(json.dumps({"rows": len(said)}))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Answers -> a gate that writes its metrics first, then two folders and counts -> a copy; one good run."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "gate.py").write_text(GATE)
    (tmp_path / "answers.txt").write_text("bcc scc tao")
    (tmp_path / "wanted.txt").write_text("3")
    gate = {
        "cmd": "python gate.py",
        "deps": ["answers.txt", "wanted.txt"],
        "outs": ["mema", "seg"],
        "metrics": [{"counts.json": {"cache": False}}, {"gate.json": {"cache": False}}],
    }
    copy = {"cmd": "cp mema/rows.txt copy.txt", "deps": ["mema"], "outs": ["copy.txt"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"gate": gate, "copy": copy}}))
    dvc.reproduce("copy", lambda line: None, tmp_path)
    return tmp_path


def good(folder: Path) -> dict[str, str]:
    names = ("mema/rows.txt", "seg/rows.txt", "counts.json", "copy.txt")
    return {name: (folder / name).read_text() for name in names if (folder / name).exists()}


def mema_repro(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = process.environment() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mema.project.mending", "repro"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_by_itself_dvc_leaves_nothing(project: Path) -> None:
    """The ground of this module: without it the results are gone."""
    (project / "answers.txt").write_text("bcc")
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=project, env=process.environment(), capture_output=True
    )
    assert done.returncode
    assert set(good(project)) == {"copy.txt"}


def test_a_refused_stage_leaves_the_last_good_outs_and_its_reason(project: Path) -> None:
    before = good(project)
    (project / "answers.txt").write_text("bcc")
    done = mema_repro(project)
    assert done.returncode == 255
    assert "2 answers are missing" in done.stderr + done.stdout
    assert "the last good ones are there again: counts.json, mema, seg" in done.stderr
    assert good(project) == before
    assert (project / "gate.json").read_text() == '{"answers": 1}', "the failed run's own figures stay"


def test_a_flow_s_stage_likewise(project: Path) -> None:
    before, lines = good(project), []
    (project / "answers.txt").write_text("bcc")
    with pytest.raises(RuntimeError, match="stage copy: dvc repro ended with exit code"):
        dvc.reproduce("copy", lines.append, project)
    assert any("the last good ones are there again" in line for line in lines)
    assert good(project) == before


def test_after_the_remedy_the_stage_runs_as_ever(project: Path) -> None:
    (project / "answers.txt").write_text("bcc")
    assert mema_repro(project).returncode
    (project / "answers.txt").write_text("bcc scc uveitis")
    done = mema_repro(project)
    assert done.returncode == 0, done.stderr
    assert set(good(project).values()) == {"bcc scc uveitis", '{"rows": 3}'}
    assert "there again" not in done.stderr


def test_half_written_outs_stay_and_their_way_back_is_named(project: Path) -> None:
    (project / "gate.py").write_text(GATE.replace('pathlib.Path("counts.json")', 'sys.exit("half") #'))
    (project / "answers.txt").write_text("tao tao tao")
    done = mema_repro(project)
    assert done.returncode
    assert "the failed run wrote mema, seg; the last good ones: dvc checkout --force mema seg" in done.stderr
    assert (project / "counts.json").read_text() == '{"rows": 3}'
    command = [sys.executable, "-m", "dvc", "checkout", "--force", "mema", "seg"]
    subprocess.run(command, cwd=project, env=process.environment(), check=True, capture_output=True)
    assert (project / "mema/rows.txt").read_text() == "bcc scc tao"


def test_what_is_in_no_cache_is_named(project: Path) -> None:
    subprocess.run(["rm", "-rf", str(project / ".dvc/cache")], check=True)
    (project / "answers.txt").write_text("bcc")
    done = mema_repro(project)
    assert "gone, and not in DVC's cache: mema, seg; mema pull fetches them" in done.stderr
    assert "there again: counts.json" in done.stderr


def test_what_its_owner_removed_does_not_come_back(project: Path) -> None:
    (project / "copy.txt").unlink()
    (project / "answers.txt").write_text("bcc")
    assert mema_repro(project).returncode
    assert not (project / "copy.txt").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_ends_whole_and_leaves_the_outs(project: Path, number: signal.Signals) -> None:
    before = good(project)
    (project / "gate.py").write_text("import time; open('started', 'w'); time.sleep(300)")
    (project / "answers.txt").write_text("tao")
    environment = process.environment() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mema.project.mending", "repro"]
    run = subprocess.Popen(
        command, cwd=project, env=environment, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored, where tests run in a background
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (project / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(run.pid, number)  # as a terminal does
    assert run.wait(200)
    assert good(project) == before
