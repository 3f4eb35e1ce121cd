"""`mema doctor`: every illness is found, named, and has a remedy; a healthy machine has none."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from mema import params
from mema.params.profiles import text
from mema.project import doctor, doctor_services, remotes
from tests.e2e.processes import free_port
from tests.worlds.profiles import FOLDER, profile_values

ROOT = Path(__file__).parents[3]


LOGIN = "mema:a login of this test"


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


class Answers(BaseHTTPRequestHandler):
    """Answers each path with a status and a body, or with silence."""

    paths: ClassVar[dict[str, tuple[int, str]]] = {}
    silent = False
    login = ""  # without which nothing is answered
    hosts = ("127.0.0.1",)
    readable_by = ""  # pages of which origin

    def do_GET(self) -> None:
        if self.silent:
            time.sleep(20)
        status, body = self.paths.get(self.path, (404, ""))
        if self.hosts and self.headers["host"].partition(":")[0] not in self.hosts:
            status, body = 400, ""
        if self.login and self.headers.get("authorization") != basic(self.login):
            status, body = 401, ""
        self.send_response(status)
        if self.readable_by:
            self.send_header("Access-Control-Allow-Origin", self.readable_by)
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Answers]]]:
    handler = type("Handler", (Answers,), {"paths": {}})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}", handler
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the checks read, and no variable of the caller's."""
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith(("MEMA_", "PREFECT_", "RAY_", "LABEL_STUDIO_"))]:
        monkeypatch.delenv(name)
    for name in ("params.yaml", "constraints-label-studio.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def use_profile(checkout: Path, name: str) -> params.Params:
    (checkout / "params.yaml").write_text(text(name, FOLDER))
    return params.load()


def test_the_paper_profile_needs_a_larger_disk_and_memory_than_phantoms(checkout: Path) -> None:
    phantom, paper = (use_profile(checkout, name) for name in ("phantom", "paper"))
    assert 5 < doctor.needed_disk_gb(phantom) < 6
    assert 150 < doctor.needed_disk_gb(paper) < 350
    assert doctor.needed_memory_gb(phantom) < 7 < doctor.needed_memory_gb(paper) < 64


def test_a_full_disk_is_fatal_and_says_how_much_is_missing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("", (), {"free": 2e9}))
    finding = doctor._disk("disk")
    assert finding.fatal
    assert finding.remedy == "free 3 GB here"


def test_checkpoints_that_are_absent_or_altered_are_found(checkout: Path) -> None:
    use_profile(checkout, "paper")
    finding = doctor._checkpoints("checkpoints")
    assert "data/checkpoints/sam-vit-huge" in finding.found
    assert finding.remedy == "mema fetch"


def test_a_checkpoint_with_other_bytes_than_recorded_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = profile_values()
    for name in ("twins",):
        (checkout / "data/phantom").mkdir(parents=True)
        (checkout / "data/phantom" / name).symlink_to(ROOT / "data/phantom" / name)
    values["generator"]["sha256"] = {"unet/diffusion_pytorch_model.safetensors": "0" * 64}
    (checkout / "params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setattr(doctor, "_git", lambda *arguments: "")
    monkeypatch.setattr(doctor, "CHECKS", {"checkpoints": doctor._checkpoints})
    (finding,) = doctor.examine()
    assert "unet/diffusion_pytorch_model.safetensors" in finding.found
    assert finding.fatal
    assert finding.remedy


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MEMA_WORKERS", "many", "MEMA_WORKERS: 'many'"),
        ("MEMA_PROCESSES", "0", "MEMA_PROCESSES: '0'"),
        ("MEMA_LOG", "xml", "MEMA_LOG: 'xml'"),
    ],
)
def test_a_variable_that_is_no_number_is_an_illness(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(doctor, "CHECKS", {"environment": doctor._environment})
    (finding,) = doctor.examine()
    assert told in finding.found
    assert finding.remedy


def test_more_workers_than_cores_is_a_note(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMA_WORKERS", "999")
    finding = doctor._environment("environment")
    assert finding.remedy.startswith("lower MEMA_WORKERS to ")
    assert not finding.fatal


def test_prefect_is_ready_when_version_and_pools_are(checkout, monkeypatch, server) -> None:
    url, answers = server
    answers.login = LOGIN
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", LOGIN)
    monkeypatch.setenv("PREFECT_API_URL", f"{url}/api/")
    pools = [{"name": "cpu", "status": "READY"}, {"name": "gpu", "status": "NOT_READY"}]
    answers.paths["/api/admin/version"] = (200, json.dumps(doctor_services.version("prefect")))
    answers.paths["/api/work_pools/filter"] = (200, json.dumps(pools[:1]))
    assert doctor_services._prefect("Prefect").remedy == ""
    answers.paths["/api/work_pools/filter"] = (200, json.dumps(pools))
    finding = doctor_services._prefect("Prefect")
    assert "cpu ready, gpu not_ready" in finding.found
    assert finding.remedy == "make worker POOL=gpu"
    answers.paths["/api/work_pools/filter"] = (200, "[]")
    assert doctor_services._prefect("Prefect").remedy == "make deploy"
    answers.paths["/api/admin/version"] = (200, '"3.1.0"')
    assert "this checkout speaks" in doctor_services._prefect("Prefect").remedy
    answers.paths["/api/admin/version"] = (500, "secret words")
    finding = doctor_services._prefect("Prefect")
    assert finding.fatal
    assert finding.found == f"{url}/api: HTTP 500"


def test_an_open_prefect_is_fatal(checkout, monkeypatch, server) -> None:
    url, answers = server
    monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", LOGIN)
    answers.paths["/api/admin/version"] = (200, json.dumps(doctor_services.version("prefect")))
    finding = doctor_services._prefect("Prefect")
    assert finding.fatal
    assert "answers without a login, so anybody who reaches it runs code here" in finding.found
    assert finding.remedy == "end it and start it by `make server`"
    answers.login = "somebody:else's long login"
    finding = doctor_services._prefect("Prefect")
    assert finding.fatal
    assert finding.remedy == "copy it from the checkout that runs `make server`"
    monkeypatch.setenv("PREFECT_API_URL", "http://192.0.2.1:4200/api")
    finding = doctor_services._prefect("Prefect")
    assert finding.fatal
    assert "192.0.2.1 without TLS" in finding.found
    assert "proxy with a certificate" in finding.remedy


@pytest.mark.parametrize(
    ("hosts", "readable_by", "told"),
    [((), "", "answers to any name"), (("127.0.0.1",), "*", "lets pages of other sites read"),
     (("127.0.0.1",), "https://stranger.invalid", "lets pages of other sites read")],
)  # fmt: skip
def test_an_open_label_studio_is_fatal(checkout, monkeypatch, server, hosts, readable_by, told) -> None:
    url, answers = server
    monkeypatch.setenv("LABEL_STUDIO_URL", url)
    answers.paths["/api/version"] = (200, '{"release": "1.23.2"}')
    answers.hosts, answers.readable_by = hosts, readable_by
    finding = doctor_services._label_studio("x")
    assert finding.fatal
    assert told in finding.found
    assert finding.remedy.startswith("make label-studio-stop label-studio")
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://192.0.2.1:8080")
    finding = doctor_services._label_studio("x")
    assert finding.fatal
    assert "192.0.2.1 without TLS" in finding.found


def test_a_server_on_every_address_is_fatal(checkout, monkeypatch) -> None:
    handler = type("Handler", (Answers,), {"paths": {}, "login": LOGIN})
    listening = ThreadingHTTPServer(("0.0.0.0", 0), handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{listening.server_port}"
    try:
        monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", LOGIN)
        handler.paths["/api/admin/version"] = (200, json.dumps(doctor_services.version("prefect")))
        handler.paths["/api/work_pools/filter"] = (200, "[]")
        finding = doctor_services._prefect("Prefect")
        assert finding.fatal
        assert "listens on every address of this machine, without TLS" in finding.found
        handler.login = ""
        handler.paths["/api/version"] = (200, '{"release": "1.23.2"}')
        monkeypatch.setenv("LABEL_STUDIO_URL", url)
        finding = doctor_services._label_studio("x")
        assert finding.fatal
        assert "listens on every address" in finding.found
    finally:
        listening.shutdown()
        listening.server_close()


def test_label_studio_is_asked_for_its_version(checkout, monkeypatch, server) -> None:
    url, answers = server
    assert doctor_services._label_studio("x").remedy == ""  # phantoms' readers are simulated
    monkeypatch.setenv("LABEL_STUDIO_URL", url)
    answers.paths["/api/version"] = (200, '{"release": "1.23.2"}')
    assert doctor_services._label_studio("x") == doctor_services.Finding("x", f"1.23.2 at {url}", fatal=False)
    answers.paths["/api/version"] = (200, '{"release": "1.0"}')
    assert doctor_services._label_studio("x").remedy == "tested with 1.23.2"
    use_profile(checkout, "paper")
    answers.paths["/api/version"] = (502, "")
    finding = doctor_services._label_studio("x")
    assert (finding.found, finding.fatal) == (f"{url}: HTTP 502", True)


def test_a_server_that_says_nothing_costs_three_seconds(checkout, monkeypatch, server) -> None:
    url, answers = server
    answers.silent = True
    monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
    start = time.monotonic()
    finding = doctor_services._prefect("Prefect")
    assert time.monotonic() - start < 30  # and not for ever
    assert "Timeout" in finding.found
    assert finding.remedy.startswith("make server")


def test_a_cluster_that_does_not_answer_is_fatal(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor_services._ray("Ray").remedy == ""
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    finding = doctor_services._ray("Ray")
    assert finding.found == f"{address}: ConnectionRefusedError: Connection refused"
    assert finding.fatal
    monkeypatch.setattr(doctor_services, "find_spec", lambda name: None)
    assert doctor_services._ray("Ray").remedy.startswith("pip install -e '.[ray]'")


def test_a_store_is_written_read_and_left_as_it_was(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMA_STORE", str(checkout / "store"))
    assert doctor_services._store("MEMA_STORE").remedy == ""
    assert list((checkout / "store").iterdir()) == []
    (checkout / "file").write_text("no folder")
    monkeypatch.setenv("MEMA_STORE", str(checkout / "file"))
    finding = doctor_services._store("MEMA_STORE")
    assert finding.fatal
    assert finding.remedy
    assert (checkout / "file").read_text() == "no folder"


def test_a_bucket_is_a_store_and_a_missing_one_is_fatal(checkout, monkeypatch) -> None:
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    try:
        import s3fs

        s3fs.S3FileSystem(skip_instance_cache=True).mkdir("mema")
        monkeypatch.setenv("MEMA_STORE", "s3://mema/work")
        assert doctor_services._store("MEMA_STORE").found == "s3://mema/work: writable"
        assert s3fs.S3FileSystem(skip_instance_cache=True).find("mema") == []
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("MEMA_STORE", "s3://elsewhere/work")
        import fsspec

        fsspec.filesystem("s3").clear_instance_cache()
        start = time.monotonic()
        assert doctor_services._store("MEMA_STORE").fatal
        assert time.monotonic() - start < 30  # and not for ever
    finally:
        moto.stop()


def test_remotes_are_probed_by_a_file_that_does_not_stay(checkout: Path) -> None:
    (checkout / ".dvc").mkdir()
    (checkout / ".dvc/config").write_bytes((ROOT / ".dvc/config").read_bytes())
    subprocess.run(["git", "init", "--quiet"], check=True)
    finding = doctor_services._remotes("remotes")
    assert not finding.fatal
    assert finding.remedy.startswith("dvc remote add --local restricted")
    add = [sys.executable, "-m", "dvc", "remote", "add", "--local"]
    subprocess.run([*add, "restricted", str(checkout / "r")], check=True)
    finding = doctor_services._remotes("remotes")
    assert finding.fatal
    assert finding.remedy == remotes.SET_UP.format("public")
    subprocess.run([*add, "public", str(checkout / "p")], check=True)
    assert doctor_services._remotes("remotes").found == "restricted and public: both writable"
    assert not [file for place in "rp" for file in (checkout / place).rglob("*") if file.is_file()]
    (checkout / "p").rmdir()
    (checkout / "p").write_text("no folder")
    finding = doctor_services._remotes("remotes")
    assert finding.found.startswith("public: ")
    assert finding.fatal


@pytest.mark.slow
def test_the_command_prints_a_line_a_check_and_fails_on_what_is_fatal() -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MEMA_", "PREFECT_", "RAY_"))}
    command = [sys.executable, "-c", "from mema.cli import app; app()", "doctor"]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=120, check=False)
    marks = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert len(marks) == len(doctor.CHECKS)
    assert done.returncode == int("FAIL" in marks)
    sick = clean | {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}
    done = subprocess.run(command, cwd=ROOT, env=sick, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "FAIL  Prefect" in done.stdout
    assert "-> make server" in done.stdout
