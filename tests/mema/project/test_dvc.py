"""DVC met through its own commands, on toy projects of a few lines."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mema.project import dvc, process


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], check=True)
    return tmp_path


def write_stage(project: Path, command: str) -> None:
    (project / "in.txt").write_text("1")
    (project / "dvc.yaml").write_text(
        f"stages:\n  copy:\n    cmd: {command}\n    deps: [in.txt]\n    outs: [out.txt]\n"
    )


def test_a_stage_runs_once_and_is_then_up_to_date(project: Path) -> None:
    write_stage(project, "cp in.txt out.txt")
    assert dvc.status()["copy"]
    dvc.reproduce("copy", lambda line: None)
    assert (project / "out.txt").read_text() == "1"
    assert dvc.status() == {}


def test_a_stale_stage_says_why(project: Path) -> None:
    write_stage(project, "cp in.txt out.txt")
    dvc.reproduce("copy", lambda line: None)
    (project / "in.txt").write_text("2")
    assert dvc.status() == {"copy": ["changed deps: in.txt modified"]}


def test_a_failing_stage_raises_and_its_lines_reach_the_log(project: Path) -> None:
    write_stage(project, "echo broken lens && exit 3")
    lines: list[str] = []
    with pytest.raises(RuntimeError, match="stage copy: dvc repro ended with exit code"):
        dvc.reproduce("copy", lines.append)
    assert "broken lens" in lines


def test_a_cancelled_run_leaves_no_process_behind(project: Path) -> None:
    write_stage(project, "echo $$ > pid && echo started && sleep 300")

    def cancel(line: str) -> None:
        if line == "started":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dvc.reproduce("copy", cancel)
    with pytest.raises(ProcessLookupError):
        os.kill(int((project / "pid").read_text()), 0)


def test_sigterm_to_a_caller_that_raises_ends_the_stage_too(project: Path) -> None:
    write_stage(project, "echo $$ > pid && sleep 300")
    code = (
        "import signal, sys; from mema.project import dvc; "
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); dvc.reproduce('copy')"
    )
    root = Path(dvc.__file__).parents[2]
    caller = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(root)})
    deadline = time.monotonic() + 30
    while not (project / "pid").exists() or not (project / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    caller.send_signal(signal.SIGTERM)
    assert caller.wait(30) == 9
    with pytest.raises(ProcessLookupError):
        os.kill(int((project / "pid").read_text()), 0)


def test_of_a_progress_bar_only_some_redrawings_are_kept() -> None:
    source, sink = os.pipe()
    os.write(sink, b"begin\n10%\r20%\r30%\r\nend")
    os.close(sink)
    with os.fdopen(source, "rb") as stream:
        assert list(process.progress_lines(stream, every_seconds=60)) == ["begin", "10%", "end"]


@pytest.mark.slow
def test_an_added_folder_names_its_remote_also_when_added_again(project: Path) -> None:
    folder = project / "exports"
    folder.mkdir()
    for content in ("1", "2"):
        (folder / "a.json").write_text(content)
        pointer = dvc.add(Path("exports"), "restricted")
        (out,) = yaml.safe_load(pointer.read_text())["outs"]
        assert (pointer, out["path"], out["remote"]) == (Path("exports.dvc"), "exports", "restricted")
        assert dvc.status() == {}
    assert not list(project.glob("*.tmp"))


def test_what_cannot_be_added_is_named(project: Path) -> None:
    with pytest.raises(RuntimeError, match="dvc add missing: "):
        dvc.add(Path("missing"), "restricted")
