"""The real Label Studio behind a proxy that fails a share of all requests: nothing is lost, nothing comes twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mema.label_studio.exchange.client import UnclearError
from mema.label_studio.exchange.pull import pull
from mema.label_studio.exchange.push import push
from mema.label_studio.server.access import Target
from mema.params.annotate import Annotate
from tests.e2e.label_studio_world import LabelStudioWorld, label_studio, write_images
from tests.faults.conftest import Tally
from tests.faults.proxy import KINDS, FaultProxy, fault_proxy

__all__ = ["label_studio"]

NUM_IMAGES, BATCH, NUM_READ = 30, 5, 6
BCC = [{"from_name": "disease", "to_name": "face", "type": "choices", "value": {"choices": ["bcc"]}}]
pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]


def until_done(command: Callable[[], object], times: int = 10) -> None:
    """Give the same command again, as a person would, until it ends well."""
    for _ in range(times):
        try:
            command()
        except (ValueError, UnclearError):
            continue
        return
    raise AssertionError(f"ended badly {times} times")


def through(target: Target, proxy: FaultProxy) -> Target:
    return replace(target, url=proxy.url)


@pytest.mark.parametrize("attempts", [7, 2], ids=["patient", "impatient"])
def test_push_and_pull_lose_nothing_and_repeat_nothing(
    label_studio: LabelStudioWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally, attempts: int
) -> None:
    monkeypatch.setattr("mema.label_studio.exchange.imports.BATCH_TASKS", BATCH)
    readers = (f"storm_{attempts}_a", f"storm_{attempts}_b")
    label_studio.accounts_for(*readers)
    image_ids = write_images(tmp_path / "selected", NUM_IMAGES)
    annotate = Annotate(readers=readers, senior="senior", seed=7, repeat_share=0.1, show_intended_label=False)
    out, plain = tmp_path / "out", label_studio.target(attempts=attempts)
    with fault_proxy(label_studio.port, seed=attempts) as proxy:
        storm = through(plain, proxy)
        until_done(lambda: push(tmp_path / "selected", None, out, annotate, storm))
        manifest = push(tmp_path / "selected", None, out, annotate, plain)
        for name in readers:
            with plain.client(name) as client:
                there = list(client.pages("/api/tasks", "tasks", project=manifest.readers[name].project))
                for task in there[:NUM_READ]:
                    client.post(f"/api/tasks/{task['id']}/annotations/", {"result": BCC, "lead_time": 1.0})
            keys = [task["data"]["key"] for task in there]
            assert sorted(keys) == sorted(task.key for task in manifest.readers[name].tasks)
            assert {task.image_id for task in manifest.readers[name].tasks} == set(image_ids)
        until_done(lambda: pull(out, storm))
        faults = dict(proxy.faults)
    assert set(faults) == set(KINDS), faults
    lost = 0
    for name, counts in pull(tmp_path / "out", plain).items():
        lost += NUM_READ - counts.annotated + counts.missing
        assert (counts.annotated, counts.missing, counts.foreign) == (NUM_READ, 0, 0)
        export = json.loads((out / f"export-{name}.json").read_text())
        assert sum(len(task["annotations"]) for task in export) == NUM_READ
    tally("Label Studio: 500, 429, cut, slow", faults=sum(faults.values()), lost=lost)
