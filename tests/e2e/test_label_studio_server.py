"""Push, submit, kill, go on, pull, on the real server; and who sees what."""

import ast
import hashlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import cached_property
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from mema.label_studio.exchange.client import ForbiddenError, LabelStudio, NotFoundError, check_version
from mema.label_studio.exchange.progress import complete, progress
from mema.label_studio.exchange.project import column_name
from mema.label_studio.exchange.pull import pull
from mema.label_studio.exchange.push import push, push_adjudication
from mema.label_studio.server import environment, processes, server
from mema.label_studio.server.server_settings import banned_subnets, settings
from mema.params.annotate import Annotate
from models.annotation.manifest import Manifest
from tests.e2e.label_studio_world import LabelStudioWorld, write_images

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
ONE, TWO, SENIOR = "blind_1", "blind_2", "blind_senior"
BCC = [{"from_name": "disease", "to_name": "face", "type": "choices", "value": {"choices": ["bcc"]}}]


class Desk:
    """Two readers, a senior, twelve images, and what was pushed of them."""

    def __init__(self, world: LabelStudioWorld, folder: Path):
        self.world, self.target = world, world.target()
        self.accounts = world.accounts_for(ONE, TWO, SENIOR)
        self.images, self.out = folder / "selected", folder / "label_studio"
        self.image_ids = write_images(self.images, 12)
        self.annotate = Annotate(readers=(ONE, TWO), senior=SENIOR, seed=7, repeat_share=0.2, show_intended_label=False)

    def push(self) -> Manifest:
        return push(self.images, None, self.out, self.annotate, self.target)

    def project(self, name: str) -> int:
        return self.manifest.readers[name].project

    @cached_property
    def manifest(self) -> Manifest:
        return self.push()

    def tasks(self, name: str) -> list[dict[str, Any]]:
        with self.target.client(name) as client:
            return list(client.pages("/api/tasks", "tasks", project=self.project(name), fields="all"))

    def shown(self, name: str, tasks: list[dict[str, Any]]) -> list[str]:
        """Return the image of each task, which the manifest alone knows."""
        image_of = {task.key: task.image_id for task in self.manifest.readers[name].tasks}
        return [image_of[key] for key in keys(tasks)]

    def submit(self, name: str, task: dict[str, Any], *, skip: bool = False) -> int:
        with self.target.client(name) as client:
            path = f"/api/tasks/{task['id']}/annotations/"
            return client.post(path, {"result": BCC, "was_cancelled": skip, "lead_time": 4.0})["id"]


@pytest.fixture(scope="module")
def desk(label_studio: LabelStudioWorld, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(label_studio, tmp_path_factory.mktemp("desk"))


def keys(tasks: list[dict[str, Any]]) -> list[str]:
    return [task["data"]["key"] for task in tasks]


def test_a_second_push_adds_nothing(desk: Desk) -> None:
    manifest = desk.push()
    first = {name: desk.tasks(name) for name in (ONE, TWO)}
    assert desk.push() == manifest
    for name in (ONE, TWO):
        again = desk.tasks(name)
        assert [task["id"] for task in again] == [task["id"] for task in first[name]]
        assert keys(again) == [task.key for task in manifest.readers[name].tasks]
        assert Counter(Counter(desk.shown(name, again)).values()) == {1: 10, 2: 2}
    assert desk.shown(ONE, first[ONE]) != desk.shown(TWO, first[TWO])


def test_a_task_tells_nothing_but_the_image(desk: Desk) -> None:
    for task in desk.tasks(ONE):
        assert set(task["data"]) == {"image", "key", "task_note"}
        assert task["predictions"] == []
        assert task["data"]["task_note"] == "No outline needed."


def test_each_reader_has_a_world_of_his_own(desk: Desk) -> None:
    with desk.target.client(ONE) as client:
        assert len(list(client.pages("/api/projects", "results"))) == 1
        assert [user["email"] for user in client.get("/api/users")] == [desk.accounts[ONE].email]
        assert [entry["id"] for entry in client.get("/api/organizations")] == [desk.accounts[ONE].organisation]


def test_nothing_of_another_reader_is_found_by_its_number(desk: Desk) -> None:
    """The community edition checks lists, but not single objects: its authors know one organisation only."""
    project, theirs = desk.project(TWO), desk.tasks(TWO)[0]["id"]
    annotation = desk.submit(TWO, desk.tasks(TWO)[0])
    organisation = desk.accounts[TWO].organisation
    closed = [
        f"/api/projects/{project}",
        f"/api/projects/{project}/exports/",
        f"/api/projects/{project}/export?exportType=JSON",
        f"/api/projects/{project}/next",
        f"/api/projects/{project}/tasks",
        f"/api/projects/{project}/summary/",
        f"/api/projects/{project}/sample-task",
        f"/api/projects/{project}/label-stream-history",
        f"/api/tasks?project={project}",
        f"/api/tasks/{theirs}",
        f"/api/tasks/{theirs}/annotations/",
        f"/api/annotations/{annotation}",
        f"/api/dm/project?project={project}",
        f"/api/dm/columns?project={project}",
        f"/api/dm/actions?project={project}",
        f"/api/ml?project={project}",
        f"/api/storages/localfiles?project={project}",
        f"/api/organizations/{organisation}/memberships",
        f"/api/users/{desk.accounts[TWO].user_id}",
    ]
    empty = [
        f"/api/tasks/{theirs}/drafts",
        f"/api/predictions?task={theirs}",
        f"/api/dm/views?project={project}",
        "/api/webhooks",
    ]
    with desk.target.client(TWO) as owner:
        assert owner.get(f"/api/annotations/{annotation}")["result"] == BCC
    with desk.target.client(ONE) as client:
        for path in closed:
            with pytest.raises((NotFoundError, ForbiddenError)):
                client.get(path)
        assert [client.get(path) for path in empty] == [[]] * len(empty)
        with pytest.raises(ForbiddenError):
            client.post(f"/api/tasks/{theirs}/annotations/", {"result": BCC})
        with pytest.raises(ForbiddenError):
            client.patch(f"/api/annotations/{annotation}", {"result": []})
        with pytest.raises((NotFoundError, ForbiddenError)):
            client.patch(f"/api/projects/{project}", {"title": "mine"})
        body = {"selectedItems": {"all": False, "included": [theirs]}}
        with pytest.raises(ForbiddenError):
            client.post(f"/api/dm/actions?id=delete_tasks&project={project}", body)


def test_a_server_that_was_started_otherwise_is_refused(desk: Desk) -> None:
    desk.project(ONE)
    world = desk.world
    assert server.stop(world.places) == ["server"]
    stock = settings(world.places) | {"DJANGO_SETTINGS_MODULE": "label_studio.core.settings.label_studio"}
    program = environment.ensure(world.places) / "label-studio"
    command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(world.port)]
    processes.start(world.places, "server", command, stock, world.url)
    try:
        server.wait_until_up(world.places, "server", f"{world.url}/health")
        with pytest.raises(ValueError, match=r"shows the project of .* so nobody is blind"):
            desk.push()
    finally:
        server.stop(world.places)
        world.start()


def test_images_are_served_to_readers_and_nothing_else_is(desk: Desk) -> None:
    desk.project(ONE)
    image = desk.tasks(ONE)[0]["data"]["image"]

    def status(token: str, path: str) -> int:
        return httpx.get(desk.target.url + path, headers={"Authorization": f"Token {token}"}).status_code

    mine = desk.accounts[ONE].token
    assert status(mine, image) == 200
    assert status(desk.accounts[SENIOR].token, image) == 404, "no project yet, so no images"
    assert httpx.get(desk.target.url + image).status_code in (401, 403)
    for path in ("../accounts.json", "images/../../accounts.json", "../data/label_studio.sqlite3"):
        assert status(mine, f"/data/local-files/?d={path}") in (400, 403, 404, 500)
    storage = {"project": desk.project(ONE), "path": str(desk.world.places.data.resolve())}
    with desk.target.client(ONE) as client, pytest.raises(ValueError, match="must be a subdirectory"):
        client.post("/api/storages/localfiles", storage)


def test_nobody_signs_up_without_an_invitation(desk: Desk) -> None:
    with httpx.Client(base_url=desk.target.url, headers={"Origin": desk.target.url}) as browser:
        browser.get("/user/signup/")
        form = {
            "email": "x@mema.local",
            "password": "long enough 1",
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        answer = browser.post("/user/signup/", data=form)
    assert answer.status_code == 403


def test_a_reader_logs_in_with_the_password_of_the_file(desk: Desk) -> None:
    account = desk.accounts[ONE]
    with httpx.Client(base_url=desk.target.url, headers={"Origin": desk.target.url}) as browser:
        browser.get("/user/login/")
        form = {"email": account.email, "password": account.password}
        form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
        assert browser.post("/user/login/", data=form).status_code == 302
        assert browser.get("/api/current-user/whoami").json()["email"] == account.email
    assert desk.world.places.accounts.stat().st_mode & 0o777 == 0o600


def test_a_push_goes_on_after_the_server_was_killed_in_the_middle(
    label_studio: LabelStudioWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label_studio.accounts_for("killed")
    image_ids = write_images(tmp_path / "selected", 400)
    annotate = Annotate(readers=("killed",), senior=SENIOR, seed=7, repeat_share=0.05, show_intended_label=False)
    monkeypatch.setattr("mema.label_studio.exchange.imports.BATCH_TASKS", 20)
    sent, post = [], LabelStudio.post

    def post_and_kill(client: LabelStudio, path: str, body: Any, timeout_seconds: float | None = None) -> Any:
        if path.endswith("/import"):
            sent.append(path)
            if len(sent) == 4:
                threading.Timer(0.03, label_studio.kill).start()
        return post(client, path, body, timeout_seconds)

    impatient = label_studio.target(attempts=2)
    with monkeypatch.context() as patch:
        patch.setattr(LabelStudio, "post", post_and_kill)
        with pytest.raises(ValueError, match="make label-studio"):
            push(tmp_path / "selected", None, tmp_path / "out", annotate, impatient)
    assert processes.running(label_studio.places, "server") is None
    label_studio.start()
    with label_studio.target().client("killed") as client:
        (project,) = list(client.pages("/api/projects", "results"))
        assert 0 < project["task_number"] < 420
    manifest = push(tmp_path / "selected", None, tmp_path / "out", annotate, label_studio.target())
    planned = [task.key for task in manifest.readers["killed"].tasks]
    with label_studio.target().client("killed") as client:
        there = list(client.pages("/api/tasks", "tasks", project=manifest.readers["killed"].project))
    assert sorted(keys(there)) == sorted(planned)
    assert {task.image_id for task in manifest.readers["killed"].tasks} == set(image_ids)
    files = {path.stem for path in label_studio.places.files.iterdir()}
    assert set(planned) <= files


def test_nothing_is_lost_when_the_server_dies_between_two_submits(desk: Desk) -> None:
    tasks = desk.tasks(ONE)
    first = desk.submit(ONE, tasks[0])
    desk.world.kill()
    desk.world.start()
    second = desk.submit(ONE, tasks[1])
    with desk.target.client(ONE) as client:
        kept = [client.get(f"/api/annotations/{annotation}") for annotation in (first, second)]
    assert [annotation["result"] == BCC for annotation in kept] == [True, True]
    assert desk.accounts == {name: desk.world.accounts.readers[name] for name in desk.accounts}


def test_a_pull_accounts_for_every_task(desk: Desk) -> None:
    name = ONE
    tasks = [task for task in desk.tasks(name) if not task["annotations"]]
    before = len(desk.tasks(name)) - len(tasks)
    desk.submit(name, tasks[0])
    desk.submit(name, tasks[1], skip=True)
    with desk.target.client(name) as client:
        client.post(f"/api/tasks/{tasks[2]['id']}/drafts", {"result": BCC, "lead_time": 1.0})
        client.delete(f"/api/tasks/{tasks[3]['id']}")
    (desk.world.places.proposals).write_bytes(b'{"a": 1}\n{"b": 2')
    counts = pull(desk.out, desk.target)[name]
    assert (counts.annotated, counts.skipped, counts.missing, counts.foreign) == (before + 1, 1, 1, 0)
    assert counts.open == 14 - before - 3
    assert (desk.out / "proposals.jsonl").read_bytes() == b'{"a": 1}\n'
    export = json.loads((desk.out / f"export-{name}.json").read_text())
    submitted = [a for task in export for a in task["annotations"]]
    assert {annotation["completed_by"] for annotation in submitted} == {desk.accounts[name].user_id}
    with desk.target.client(name) as client:
        assert client.get(f"/api/projects/{desk.project(name)}/exports/") == []


def test_submits_go_through_while_a_snapshot_is_taken(desk: Desk) -> None:
    """In SQLite's default mode a long reading transaction turns them into errors of the reader."""
    database = desk.world.places.data / "label_studio.sqlite3"
    hold = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN'); c.execute('SELECT count(*) FROM task').fetchone(); print('held', flush=True); "
        "time.sleep(20)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, str(database)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        start = time.monotonic()
        desk.submit(TWO, desk.tasks(TWO)[-1])
        assert time.monotonic() - start < 10
        other.kill()


def test_progress_counts_done_skipped_and_open_tasks(desk: Desk) -> None:
    manifest = desk.manifest
    state = {entry.name: entry for entry in progress(manifest, desk.target)}[TWO]
    assert (state.round, state.total, state.missing) == ("reading", 14, 0)
    done = state.done
    assert done >= 1
    assert (state.per_day, state.expected_finish) == (None, None)  # the first day tells no pace
    for task in desk.tasks(TWO):
        if not task["annotations"]:
            desk.submit(TWO, task, skip=task["id"] % 2 == 0)
    state = {entry.name: entry for entry in progress(manifest, desk.target)}[TWO]
    assert state.done + state.skipped == 14
    assert state.open == 0
    assert state.expected_finish is None
    assert not complete(progress(manifest, desk.target), "reading"), "the other reader is not through"
    assert complete([state], "reading")


def test_the_senior_gets_the_images_in_dispute_once(desk: Desk) -> None:
    desk.project(ONE)
    disputed = desk.image_ids[3:6]
    manifest = push_adjudication(disputed, desk.images, None, desk.out, desk.annotate, desk.target)
    assert push_adjudication(disputed, desk.images, None, desk.out, desk.annotate, desk.target) == manifest
    entry = manifest.readers[SENIOR]
    assert (entry.round, sorted(task.image_id for task in entry.tasks)) == ("adjudication", sorted(disputed))
    assert set(manifest.readers) == {ONE, TWO, SENIOR}


def test_another_seed_or_secret_adds_nothing(desk: Desk) -> None:
    """The manifest knows every task that was pushed, whatever its key was drawn from; a deleted one comes back."""
    desk.project(ONE)
    before = {name: sorted(task.key for task in desk.manifest.readers[name].tasks) for name in (ONE, TWO)}
    places = desk.world.places
    secret = places.secret.read_text()
    places.secret.unlink()
    try:
        push(desk.images, None, desk.out, desk.annotate.model_copy(update={"seed": 8}), desk.target)
    finally:
        places.secret.write_text(secret)
    assert {name: sorted(keys(desk.tasks(name))) for name in (ONE, TWO)} == before


def test_tasks_that_no_manifest_knows_are_refused(desk: Desk, tmp_path: Path) -> None:
    desk.project(ONE)
    other = desk.annotate.model_copy(update={"seed": 8})
    with pytest.raises(ValueError, match=r"blind_1: 14 of his tasks stand in no manifest"):
        push(desk.images, None, tmp_path / "elsewhere", other, desk.target)


def test_nothing_that_a_reader_can_ask_for_pairs_a_repeat_with_its_first_showing(desk: Desk) -> None:
    """Whatever differs between two tasks of different images must differ as much between two of the same."""
    project, tasks = desk.project(ONE), desk.tasks(ONE)
    image_of = dict(zip(keys(tasks), desk.shown(ONE, tasks), strict=True))
    with desk.target.client(ONE) as client:
        answers = [client.get(f"/api/tasks/{task['id']}") for task in tasks] + [
            client.get("/api/dm/columns", project=project),
            client.get(f"/api/projects/{project}"),
        ]
        for path in (f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true",):
            answers.append(client.get(path))
    seen = json.dumps(answers)
    assert not [image_id for image_id in desk.image_ids if image_id in seen or image_id[:12] in seen]
    headers = {}
    for task in tasks:
        answer = httpx.get(
            desk.target.url + task["data"]["image"], headers={"Authorization": f"Token {desk.accounts[ONE].token}"}
        )
        assert answer.status_code == 200
        told = {name: answer.headers.get(name) for name in ("etag", "content-length", "content-disposition")}
        headers[task["data"]["key"]] = (*told.values(), hashlib.sha256(answer.content).hexdigest())
        assert "2000" in answer.headers.get("last-modified", "2000")
    for place in range(4):
        values = [told[place] for told in headers.values()]
        assert len(set(values)) == len(values) or set(values) == {None}, place
    assert len(set(image_of.values())) == 12


def test_the_list_of_tasks_shows_a_number_only_from_the_first_push_on(
    label_studio: LabelStudioWorld, tmp_path: Path
) -> None:
    label_studio.accounts_for("lister")
    write_images(tmp_path / "selected", 3)
    annotate = Annotate(readers=("lister",), senior=SENIOR, seed=7, repeat_share=0.4, show_intended_label=False)
    manifest = push(tmp_path / "selected", None, tmp_path / "out", annotate, label_studio.target())
    with label_studio.target().client("lister") as client:
        project = manifest.readers["lister"].project
        columns = client.get("/api/dm/columns", project=project)["columns"]
        (view,) = client.get("/api/dm/views", project=project)
    assert "tasks:data.key" in view["data"]["hiddenColumns"]["explore"]
    for display in ("explore", "labeling"):
        shown = {column_name(one) for one in columns} - set(view["data"]["hiddenColumns"][display])
        assert shown == {"tasks:inner_id", "tasks:total_annotations"}


def test_tasks_of_an_earlier_version_lose_their_image_and_keep_their_answers(
    label_studio: LabelStudioWorld, tmp_path: Path
) -> None:
    """They named the image, so a click on a column's head put the repeats side by side."""
    account = label_studio.accounts_for("elder")["elder"]
    image_ids = write_images(tmp_path / "selected", 4)
    annotate = Annotate(readers=("elder",), senior=SENIOR, seed=7, repeat_share=0.25, show_intended_label=False)
    target, out = label_studio.target(), tmp_path / "out"
    manifest = push(tmp_path / "selected", None, out, annotate, target)
    entry, places = manifest.readers["elder"], label_studio.places
    with target.client("elder") as client:
        for task in client.pages("/api/tasks", "tasks", project=entry.project, fields="all"):
            image_id = next(one.image_id for one in entry.tasks if one.key == task["data"]["key"])
            old = {"image": f"/data/local-files/?d=images/{image_id}.png", "image_id": image_id}
            client.patch(f"/api/tasks/{task['id']}", {"data": task["data"] | old})
            (places.files / f"{image_id}.png").write_bytes(b"named by its image")
        client.post(f"/api/tasks/{task['id']}/annotations/", {"result": BCC, "lead_time": 1.0})
    assert push(tmp_path / "selected", None, out, annotate, target) == manifest
    with target.client("elder") as client:
        tasks = list(client.pages("/api/tasks", "tasks", project=entry.project, fields="all"))
    assert sorted(keys(tasks)) == sorted(task.key for task in entry.tasks)
    assert not any(image_id in json.dumps(tasks) for image_id in image_ids)
    assert sum(len(task["annotations"]) for task in tasks) == 1
    assert not any((places.files / f"{image_id}.png").exists() for image_id in image_ids)
    assert account.email == "elder@mema.local"


def test_a_second_start_finds_everything_running(desk: Desk) -> None:
    before = processes.running(desk.world.places, "server")
    desk.world.start()
    assert processes.running(desk.world.places, "server") == before
    with pytest.raises(ValueError, match=r"LABEL_STUDIO_PORT: the server runs at .*make label-studio-stop"):
        server.start(desk.world.places, [ONE], port=desk.world.port + 1, sam=False)
    assert check_version(desk.target.url) == "1.23.2"


def test_a_missing_project_is_named(desk: Desk) -> None:
    manifest = desk.manifest
    gone = manifest.model_copy(update={"readers": {ONE: manifest.readers[ONE].model_copy(update={"project": 999})}})
    with pytest.raises(ValueError, match=r"blind_1: project 999 of .*manifest.json is not on"):
        progress(gone, desk.target)


def test_all_networks_that_the_server_bans_stay_banned(label_studio: LabelStudioWorld) -> None:
    source = (
        environment.ensure(label_studio.places).parent / "lib/python3.11/site-packages/label_studio/core/utils/io.py"
    ).read_text()
    lists = [
        ast.literal_eval(node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "default_banned_subnets"
    ]
    ours = [ip_network(entry) for entry in banned_subnets().split(",")]
    normal = [ip_network(entry) for entry in lists[0]]
    open_ones = [net for net in normal if not any(net.version == one.version and net.subnet_of(one) for one in ours)]
    assert open_ones == [ip_network("127.0.0.0/8")]  # of which the backend's address alone is open


def test_local_addresses_but_the_backend_s_are_out_of_reach(desk: Desk) -> None:
    with desk.target.client(ONE) as client:
        project = desk.project(ONE)
        for url in ("http://127.0.0.2:9090", "http://169.254.169.254/", "http://10.0.0.1/"):
            with pytest.raises(ValueError, match=r"reserved network address"):
                client.post("/api/webhooks", {"project": project, "url": url})


def test_the_order_puts_repeats_far_from_their_first_copies(desk: Desk) -> None:
    desk.project(ONE)
    for name in (ONE, TWO):
        places: dict[str, list[int]] = {}
        for place, task in enumerate(desk.manifest.readers[name].tasks):  # a task that came back stands last there
            places.setdefault(task.image_id, []).append(place)
        repeats = [place for place in places.values() if len(place) == 2]
        assert all(second - first >= 4 for place in repeats for first, second in pairwise(place))


def test_not_found_is_one_class_of_error(desk: Desk) -> None:
    with desk.target.client(ONE) as client, pytest.raises(NotFoundError, match=r"blind_1: .*not found"):
        client.get("/api/tasks/999999")
