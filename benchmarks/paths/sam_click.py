"""Time from a click to its mask over HTTP, with a stored embedding, against a handler that embeds at each request.

    OMP_NUM_THREADS=2 python -m benchmarks.paths.sam_click compare

The peer is a handler as Label Studio's public example is written: it reads and embeds the image at every request.
SAM has ViT-B's size and random weights: its time does not depend on them. Its masks are noise, though, so the
run lengths are longer than a lesion's and our figure is rather too high. Each click goes to another image, so
that none is in the memory of the backend.
"""

import hashlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
import uvicorn
from fastapi import FastAPI, Request
from label_studio_sdk.converter.brush import mask2rle
from starlette.concurrency import run_in_threadpool
from transformers import SamConfig, SamImageProcessorPil, SamModel

from benchmarks import harness
from benchmarks.harness import Case
from mema.label_studio.sam.backend import create_app, open_clicks
from mema.label_studio.sam.embeddings import MEMORY_IMAGES
from mema.label_studio.server.wake import Waker
from mema.runtime import parent
from models.images import decode, encode_png
from models.segmentation.sam import Prompt, Sam, load_sam
from tasks import schemas

SIDE_PX = 512
SHARD_ROWS = 64
TARGET_P95_MS, TARGET_RATIO = 200.0, 20.0
CLICKS = 10  # of ours in a turn
app = typer.Typer(add_completion=False)


def embed_each_time(sam: Sam, files: Path) -> Callable[[Any], dict[str, Any]]:
    """Return the peer: read, embed, decode, and the SDK's run lengths, as Label Studio's public example does."""

    def predict(body: Any) -> dict[str, Any]:
        image = decode((files / f"{body['tasks'][0]['data']['image_id']}.png").read_bytes())
        (click,) = body["params"]["context"]["result"]
        points = ((click["value"]["x"] / 100 * SIDE_PX - 0.5, click["value"]["y"] / 100 * SIDE_PX - 0.5),)
        mask = sam.segment(sam.embed([image])[0], image.shape[:2], Prompt(points, (True,))).best
        region = {"value": {"format": "rle", "rle": mask2rle(mask.astype(np.uint8) * 255)}}
        return {"results": [{"result": [region]}]}

    return predict


@app.command()
def serve(folder: Path, port: int, benchmark: int) -> None:
    """Serve our backend, and the peer under /peer with the same network, as long as the process `benchmark` lives."""
    parent.end_with(benchmark)
    sam = load_sam(str(folder / "sam"))
    clicks, _ = open_clicks(sam, folder / "root", folder / "embeddings", folder / "subset.parquet")
    ours, peer = create_app(clicks, Waker("")), FastAPI()
    predict = embed_each_time(sam, folder / "root" / "files")

    @peer.post("/predict")
    async def peer_predict(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(predict, await request.json())

    ours.mount("/peer", peer)
    uvicorn.run(ours, host="127.0.0.1", port=port, log_level="warning")


def prepare(folder: Path, num_images: int) -> list[str]:
    """Write the network, and one picture under many ids with its stored embedding; return the ids."""
    torch.manual_seed(0)
    SamModel(SamConfig()).save_pretrained(folder / "sam")
    SamImageProcessorPil().save_pretrained(folder / "sam")
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = np.kron(coarse, np.ones((SIDE_PX // 8, SIDE_PX // 8, 1), np.uint8))
    embedding = load_sam(str(folder / "sam")).embed([image])[0].numpy()
    ids = [hashlib.sha256(str(index).encode()).hexdigest() for index in range(num_images)]
    (folder / "root" / "files").mkdir(parents=True)
    (folder / "embeddings").mkdir()
    png = encode_png(image)
    for image_id in ids:
        (folder / "root" / "files" / f"{image_id}.png").write_bytes(png)
    for start in range(0, num_images, SHARD_ROWS):
        part = ids[start : start + SHARD_ROWS]
        row = [SIDE_PX, SIDE_PX, list(embedding.shape), embedding.tobytes()]
        columns = [part, *([value] * len(part) for value in row)]
        table = pa.Table.from_arrays(
            [pa.array(c, t) for c, t in zip(columns, schemas.EMBEDDING.types, strict=True)], schema=schemas.EMBEDDING
        )
        shard = folder / "embeddings" / f"shard-{start // SHARD_ROWS:05d}.parquet"
        pq.write_table(table, shard, compression="zstd", row_group_size=1)
    return ids


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run `serve` in a process of its own; idle threads sleep instead of spinning on shared cores."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.paths.sam_click", "serve", str(folder), str(port), str(os.getpid())]
    with subprocess.Popen(command, env={"OMP_WAIT_POLICY": "PASSIVE"} | os.environ) as process:
        try:
            while not _answers(port):
                assert process.poll() is None
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).is_success
    except httpx.HTTPError:
        return False


def click(image_id: str, x_px: int, y_px: int) -> dict[str, Any]:
    """Return a request as Label Studio sends it."""
    value = {"x": (x_px + 0.5) / SIDE_PX * 100, "y": (y_px + 0.5) / SIDE_PX * 100, "width": 0.3}
    region = {
        "id": "c",
        "type": "keypointlabels",
        "original_width": SIDE_PX,
        "original_height": SIDE_PX,
        "is_positive": True,
        "value": value,
    }
    task = {"id": 1, "data": {"image_id": image_id}}
    return {"project": "1.1", "tasks": [task], "params": {"context": {"result": [region]}}}


def ask(client: httpx.Client, route: str, body: dict[str, Any]) -> list[int]:
    """Return the run lengths of the mask."""
    answer = client.post(route, json=body).raise_for_status().json()
    return answer["results"][0]["result"][0]["value"]["rle"]


def case(client: httpx.Client, ids: list[str]) -> Case:
    """Return the click, on another image each time; a turn of ours is CLICKS of them."""
    assert len(ids) > MEMORY_IMAGES, "images would come back while they are in the backend's memory"
    places = np.random.default_rng(1).integers(0, SIDE_PX, (len(ids), 2)).tolist()
    bodies = [click(image_id, x, y) for image_id, (x, y) in zip(ids, places, strict=True)]
    ours, peers = itertools.cycle(bodies), itertools.cycle(bodies[::-1])

    def clicks() -> None:
        for body in itertools.islice(ours, CLICKS):
            ask(client, "/predict", body)

    def check() -> str:
        for body in bodies[:2]:
            assert ask(client, "/predict", body) == ask(client, "/peer/predict", body), "the masks differ"
        took = [harness.turn(lambda body=body: ask(client, "/predict", body)) for body in bodies]
        p95 = 1000 * float(np.percentile(took, 95))
        return f"the same masks; p95 of {len(took)} clicks {p95:.0f} ms, {TARGET_P95_MS:.0f} asked for"

    return Case(
        "sam_click", f"click to mask over HTTP, ViT-B's size, {SIDE_PX} px", ours=clicks,
        peers={"embed each request": lambda: ask(client, "/peer/predict", next(peers))},
        check=check, targets={"embed each request": TARGET_RATIO}, scale={"ours": CLICKS}, elsewhere=True,
    )  # fmt: skip


@app.command()
def compare(
    clicks: Annotated[int, typer.Option(min=MEMORY_IMAGES + 1, help="images with a stored embedding")] = 80,
    rounds: harness.Rounds = 3,
    out: harness.Out = None,
) -> None:
    """Assert equal masks, then let both routes take turns."""
    with tempfile.TemporaryDirectory() as name:
        ids = prepare(Path(name), clicks)
        with served(Path(name)) as url, httpx.Client(base_url=url, timeout=300) as client:
            harness.report(case(client, ids), rounds, out)


if __name__ == "__main__":
    app()
