import json
import os
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from mema.label_studio.server import processes
from mema.label_studio.server.places import Places

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "print(child.pid, flush=True); time.sleep(60)",
]


LISTENING = [
    sys.executable,
    "-c",
    "import socket, sys, threading, time; door = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
    "[threading.Thread(target=time.sleep, args=(60,), daemon=True).start() for _ in range(30)]; "
    "memory = b'x' * 300_000_000; print('up', flush=True); time.sleep(60)",
]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "root")


def start(places: Places, command: list[str]) -> psutil.Process:
    processes.start(places, "server", command, dict(os.environ), "http://127.0.0.1:1")
    process = processes.running(places, "server")
    assert process is not None
    return process


def test_a_started_program_is_found_and_ended(places: Places) -> None:
    process = start(places, SLEEP)
    assert os.getsid(process.pid) == process.pid
    assert processes.address(places, "server") == "http://127.0.0.1:1"
    assert processes.stop(places, "server")
    assert not psutil.pid_exists(process.pid)
    assert not places.pid("server").exists()
    assert not processes.stop(places, "server")


def test_a_number_that_now_means_another_process_is_left_alone(places: Places) -> None:
    process = start(places, SLEEP)
    record = json.loads(places.pid("server").read_text())
    places.pid("server").write_text(json.dumps(record | {"started": record["started"] - 3600}))
    try:
        assert processes.running(places, "server") is None
        assert processes.address(places, "server") == ""
        assert not processes.stop(places, "server")
        assert process.is_running()
        assert not places.pid("server").exists()
    finally:
        process.kill()
        process.wait()


def test_a_stopped_program_has_left_its_port(places: Places) -> None:
    """The first thread of a program may be a zombie while the last still holds the port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for _ in range(5):
        places.log("server").unlink(missing_ok=True)
        start(places, [*LISTENING, str(port)])
        while "up" not in places.log("server").read_text():
            time.sleep(0.02)
        assert processes.stop(places, "server")
        socket.create_server(("127.0.0.1", port)).close()


def test_a_killed_program_counts_as_ended(places: Places) -> None:
    process = start(places, SLEEP)
    process.kill()
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert processes.running(places, "server") is None
    assert not processes.stop(places, "server")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_damaged_pid_file_means_nothing_runs(places: Places, text: str) -> None:
    places.root.mkdir()
    places.pid("server").write_text(text)
    assert processes.running(places, "server") is None


def test_what_ignores_the_polite_signal_is_killed_with_its_children(places: Places) -> None:
    process = start(places, STUBBORN)
    while not (line := places.log("server").read_text().strip()):
        time.sleep(0.01)
    assert processes.stop(places, "server", grace_seconds=0.5)
    assert not psutil.pid_exists(process.pid)
    child = int(line)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_the_log_s_end_is_what_an_error_shows(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("\n".join(map(str, range(100))))
    assert processes.last_lines(tmp_path / "log", 2) == "98\n99"
    assert processes.last_lines(tmp_path / "none") == ""
