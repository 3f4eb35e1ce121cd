"""The backend over HTTP: masks as the network gives them, logged before they are shown."""

import base64
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from mema.label_studio.sam.backend import MAX_BODY_BYTES, create_app, open_clicks
from mema.label_studio.server.wake import Waker
from models.images import encode_png
from models.segmentation.masks import mask_sha256
from models.segmentation.sam import Prompt
from tests.toys.sam import save_sam
from tests.worlds.click import IDS, KEYS, Site, body, build_site, expected, frame, logged, masks, region


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sam(tmp_path_factory.mktemp("sam"))


@pytest.fixture
def site(tmp_path: Path, checkpoint: Path) -> Site:
    return build_site(tmp_path, checkpoint)


@pytest.fixture
def client(site: Site) -> Iterator[TestClient]:
    clicks, num_stored = open_clicks(site.sam, site.root, site.embeddings, site.subset, site.manifest)
    assert num_stored == 1
    with TestClient(create_app(clicks, Waker("")), raise_server_exceptions=False) as client:
        yield client


def same_prompt(prompt: Prompt, other: Prompt) -> bool:
    """Percent cost the last digits of a px."""
    return (
        prompt.positive == other.positive
        and np.allclose(prompt.points, other.points, atol=1e-9)
        and prompt.box == other.box
    )


def test_handshake(client: TestClient) -> None:
    version = client.get("/health").json()["model_version"]
    assert version.startswith("sam-")
    token = {"project": "3.1", "schema": "<View/>", "access_token": "secret", "hostname": "http://localhost"}
    assert client.post("/setup", json=token).json() == {"model_version": version}


@pytest.mark.parametrize("image", [0, 1])
def test_a_click_gives_the_networks_mask_and_is_logged(client: TestClient, site: Site, image: int) -> None:
    answer = client.post("/predict", json=body(region(60, 70), image=image, project=12))
    assert answer.status_code == 200
    (mask,) = masks(answer.json())
    prompt = Prompt(((60.0, 70.0),), (True,))
    assert (mask == expected(site, image, prompt)).all()
    (proposal,), damaged = logged(site.log)
    assert damaged == 0
    assert (proposal.project, proposal.image_id, proposal.first_mask) == (12, IDS[image], False)
    assert same_prompt(proposal.prompt, prompt)
    assert proposal.mask_sha256 == mask_sha256(mask)
    assert (proposal.mask == mask).all()
    assert answer.json()["results"][0]["model_version"] == f"sam-{proposal.sam}"


def test_a_click_on_the_first_mask_unseals_it_and_another_does_not(client: TestClient, site: Site) -> None:
    inside, outside = (Prompt(((12.0, 25.0),), (True,), (10.0, 20.0, 29.0, 39.0)), Prompt(((50.0, 60.0),), (True,)))
    unsealed = masks(client.post("/predict", json=body(region(12, 25))).json())[0]
    sealed = masks(client.post("/predict", json=body(region(50, 60))).json())[0]
    assert (unsealed == expected(site, 0, inside)).all()
    assert (sealed == expected(site, 0, outside)).all()
    proposals, _ = logged(site.log)
    assert [proposal.first_mask for proposal in proposals] == [True, False]
    assert same_prompt(proposals[0].prompt, inside)


def test_a_first_mask_of_another_size_is_left_out(
    client: TestClient, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.post("/predict", json=body(region(12, 25), image=2)).status_code == 200
    assert not logged(site.log)[0][0].first_mask
    assert "first mask has another size" in caplog.text


def test_clicks_of_both_signs_are_one_object(client: TestClient, site: Site) -> None:
    regions = (region(60, 70), region(40, 70, positive=False, id_="c2"))
    (mask,) = masks(client.post("/predict", json=body(*regions)).json())
    prompt = Prompt(((60.0, 70.0), (40.0, 70.0)), (True, False))
    assert (mask == expected(site, 0, prompt)).all()


def test_two_boxes_are_two_regions_and_two_proposals(client: TestClient, site: Site) -> None:
    regions = (frame(0, 0, 30, 40, id_="b1"), frame(40, 50, 80, 96, id_="b2"))
    answer = client.post("/predict", json=body(*regions)).json()
    boxes = ((-0.5, -0.5, 29.5, 39.5), (39.5, 49.5, 79.5, 95.5))
    for mask, box in zip(masks(answer), boxes, strict=True):
        assert (mask == expected(site, 0, Prompt(box=box))).all()
    ids = [item["id"] for item in answer["results"][0]["result"]]
    assert len(set(ids)) == 2
    assert len(logged(site.log)[0]) == 2


@pytest.mark.parametrize("context", [None, {"result": []}])
def test_opening_a_task_stores_no_prediction(client: TestClient, site: Site, context: Any) -> None:
    answer = client.post("/predict", json=body() | {"params": {"context": context}})
    assert (answer.status_code, answer.json()) == (200, {"results": []})
    assert not site.log.exists()


def refused(client: TestClient, site: Site, payload: Any, **options: Any) -> tuple[int, str]:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    headers = {"content-type": options.pop("content_type", "application/json")}
    answer = client.post("/predict", content=content, headers=headers)
    assert not site.log.exists()
    assert "Traceback" not in answer.text
    assert "\n" not in answer.json()["detail"]
    return answer.status_code, answer.json()["detail"]


@pytest.mark.parametrize(
    ("payload", "status", "sentence"),
    [
        (b'{"project": "3.1", "tasks"', 400, "no readable JSON"),
        (b"\xff\xfe", 400, "no readable JSON"),
        (b"[" * 100_000, 400, "no readable JSON"),
        (b"", 400, "no readable JSON"),
        (b" " * (MAX_BODY_BYTES + 1), 413, "above 16777216 bytes"),
        ({"project": "3.1", "tasks": []}, 422, "tasks: "),
        (body(region(80, 20)), 422, "outside the image"),
        (body(region(20, 20) | {"original_width": 96}), 422, "not those of the image"),
        (body(region(20, 20, positive=False)), 422, "click on it first"),
        (body(region(20, 20) | {"type": "brushlabels"}), 422, "neither a click nor a box"),
        (body(region(20, 20)) | {"tasks": [{"data": {"key": "f" * 16}}]}, 404, "key: stands in no task"),
        (body(region(20, 20)) | {"tasks": [{"data": {"key": "../" * 20}}]}, 422, "16 lower-case hex"),
    ],
)
def test_bad_requests(client: TestClient, site: Site, payload: Any, status: int, sentence: str) -> None:
    found = refused(client, site, payload)
    assert found[0] == status
    assert sentence in found[1]


def test_a_web_pages_form_is_refused(client: TestClient, site: Site) -> None:
    found = refused(client, site, body(region(20, 20)), content_type="text/plain")
    assert found == (415, "content-type: must be application/json")


def test_a_damaged_picture_is_refused(client: TestClient, site: Site) -> None:
    (site.root / "files" / f"{KEYS[1]}.png").write_bytes(b"no picture")
    assert refused(client, site, body(region(20, 20), image=1))[0] == 422


def test_no_mask_without_its_line_in_the_log(client: TestClient, site: Site) -> None:
    site.log.mkdir()
    answer = client.post("/predict", json=body(region(20, 60)))
    assert answer.status_code == 503
    assert "could not be logged, so no mask is shown" in answer.json()["detail"]
    site.log.rmdir()
    assert client.post("/predict", json=body(region(20, 60))).status_code == 200
    assert len(logged(site.log)[0]) == 1


def test_logs_tell_no_picture_and_no_token(client: TestClient, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        client.post("/setup", json={"access_token": "secret"})
        client.post("/predict", json=body(region(20, 60), image=1))
        client.post("/predict", json=body(region(20, 60)) | {"project": "secret"})
    ours = "\n".join(item.getMessage() for item in caplog.records if item.name.startswith("mema"))
    assert "1 masks in" in ours
    assert "refused, 422: project: " in ours
    assert "secret" not in ours
    png = base64.b64encode(encode_png(site.images[1])).decode()
    assert png[:40] not in ours


def test_readers_who_click_at_once_are_both_served(client: TestClient, site: Site) -> None:
    prompts = [Prompt(((float(x), 60.0),), (True,)) for x in range(10, 70, 5)]

    def ask(index: int) -> np.ndarray:
        x = prompts[index].points[0][0]
        answer = client.post("/predict", json=body(region(x, 60), image=index % 2, project=index + 1))
        return masks(answer.json())[0]

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(ask, range(len(prompts))))
    for index, mask in enumerate(found):
        assert (mask == expected(site, index % 2, prompts[index])).all()
    proposals, damaged = logged(site.log)
    assert damaged == 0
    assert sorted(item.project for item in proposals) == list(range(1, len(prompts) + 1))


def test_an_image_without_embedding_holds_nobody_else_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    clicks, _ = open_clicks(site.sam, site.root, site.embeddings, site.subset, site.manifest)
    embedding, go_on, embed = threading.Event(), threading.Event(), site.sam.embed

    def slow_embed(images: list[np.ndarray]) -> Any:
        embedding.set()
        assert go_on.wait(60)
        return embed(images)

    monkeypatch.setattr(site.sam, "embed", slow_embed)
    with TestClient(create_app(clicks, Waker(""))) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/predict", json=body(region(20, 60), image=1))
        assert embedding.wait(60)
        assert client.get("/health").status_code == 200
        assert client.post("/predict", json=body(region(20, 60))).status_code == 200
        assert not waiting.done()
        go_on.set()
        assert waiting.result(60).status_code == 200
