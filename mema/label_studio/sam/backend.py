"""The SAM backend of Label Studio: a click comes in, the proposal is logged, then the mask goes out."""

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from jaxtyping import Bool
from starlette.concurrency import run_in_threadpool

from mema.label_studio.exchange.manifest import Shown
from mema.label_studio.sam.brush import brush_region
from mema.label_studio.sam.embeddings import Embeddings, StoredEmbeddings, embedding_shape, weights_digest
from mema.label_studio.sam.proposals import ProposalLog, proposal_line
from mema.label_studio.sam.protocol import PredictRequest, parse_request, unseal
from mema.label_studio.server.access import SAM_HOST
from mema.label_studio.server.wake import Waker
from mema.params import load
from mema.runtime import shards
from mema.runtime.addresses import is_loopback
from models.segmentation.masks import decode_mask
from models.segmentation.sam import Proposal, Sam, load_sam

MAX_BODY_BYTES = 16 * 2**20
SUBMITS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")
log = logging.getLogger(__name__)


class Clicks:
    """Answers clicks with masks; the decoder runs for one reader at a time."""

    def __init__(
        self,
        sam: Sam,
        digest: str,
        embeddings: Embeddings,
        proposals: ProposalLog,
        first_masks: dict[str, bytes],
        shown: Shown,
    ):
        self.model_version = f"sam-{digest}"
        self._sam, self._digest = sam, digest
        self._embeddings, self._proposals, self._first_masks = embeddings, proposals, first_masks
        self._shown = shown
        self._decoder_lock = threading.Lock()

    def predict(self, request: PredictRequest) -> dict[str, Any]:
        """Return Label Studio's prediction of one brush region an object, logged beforehand.

        Raises LookupError on an unknown task, ValueError on another size, OSError where the log refuses.
        """
        start = time.perf_counter()
        image_id = self._shown.image_of(request.key)
        embedding = self._embeddings.get(image_id, request.key)
        if embedding.size_px != request.size_px:
            raise ValueError("original_width, original_height: not those of the image; push the tasks again")
        first_mask = self._first_mask(image_id, request.size_px)
        regions, lines, scores = [], [], []
        for shown in request.objects:
            prompt, unsealed = unseal(shown.prompt, first_mask)
            with self._decoder_lock:
                proposal = self._sam.segment(embedding.values, embedding.size_px, prompt)
            if not proposal.best.any():
                continue
            scores.append(_score(proposal))
            regions.append(brush_region(shown.region_id, proposal.best, scores[-1]))
            lines.append(
                proposal_line(request.project, image_id, prompt, proposal.best, sam=self._digest, first_mask=unsealed)
            )
        if lines:
            self._proposals.append(lines)
        took_ms = 1000 * (time.perf_counter() - start)
        log.info("project %d, image %s: %d masks in %.0f ms", request.project, image_id[:12], len(regions), took_ms)
        return {"result": regions, "score": min(scores, default=0.0), "model_version": self.model_version}

    def _first_mask(self, image_id: str, size_px: tuple[int, int]) -> Bool[np.ndarray, "h w"] | None:
        png = self._first_masks.get(image_id)
        mask = None if png is None else decode_mask(png)
        if mask is not None and mask.shape != size_px:
            log.warning("image %s: its first mask has another size and is left out", image_id[:12])
            return None
        return mask


def _score(proposal: Proposal) -> float:
    """Return the network's own estimate of the IoU, as JSON knows it, cut to 0 to 1."""
    return float(np.clip(np.nan_to_num(proposal.scores[0]), 0, 1))


def create_app(clicks: Clicks, waker: Waker) -> FastAPI:
    """Return the app that speaks Label Studio's protocol for machine-learning backends."""
    app = FastAPI(title="MeMa: SAM for Label Studio", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "UP", "model_version": clicks.model_version}

    @app.post("/setup")
    async def setup() -> dict[str, str]:
        return {"model_version": clicks.model_version}

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        body = await _read_json(request)
        try:
            shown = parse_request(body)
            if shown is None:  # an empty prediction would be stored
                return {"results": []}
            return {"results": [await run_in_threadpool(clicks.predict, shown)]}
        except LookupError as error:
            raise _refusal(404, str(error.args[0])) from None
        except ValueError as error:
            raise _refusal(422, str(error)) from None
        except OSError as error:
            log.error("the log of proposals refuses: %s", error)
            raise _refusal(
                503, "the proposal could not be logged, so no mask is shown; free the disk, then click again"
            ) from None

    @app.post("/webhook")
    async def webhook(request: Request) -> dict[str, str]:
        body = await _read_json(request)
        if isinstance(body, dict) and body.get("action") in SUBMITS:
            waker.ask()
        return {"status": "ok"}

    return app


def _refusal(status: int, sentence: str) -> HTTPException:
    log.info("refused, %d: %s", status, sentence)
    return HTTPException(status, sentence)


async def _read_json(request: Request) -> Any:
    """Return the body; other types than JSON are refused, since any web page could send them."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise _refusal(415, "content-type: must be application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _refusal(413, f"body: above {MAX_BODY_BYTES} bytes; send one task a click")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise _refusal(400, "body: no readable JSON") from None


def read_first_masks(subset: Path) -> dict[str, bytes]:
    """Return the first masks that `prelabel` proposed, as PNG by image; none, with a warning, without the file."""
    try:
        table = shards.read_table(subset, columns=["image_id", "first_mask"])
        pairs = zip(table["image_id"].to_pylist(), table["first_mask"].to_pylist(), strict=True)
        return {image_id: png for image_id, png in pairs if png is not None}
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        log.warning("%s: no first masks: %s", subset, str(error).split("\n")[0])
        return {}


def open_clicks(sam: Sam, root: Path, embeddings: Path, subset: Path, manifest: Path) -> tuple[Clicks, int]:
    """Return what answers clicks below a Label Studio root, and the number of stored embeddings."""
    digest = weights_digest(sam)
    stored = StoredEmbeddings(embeddings, embedding_shape(sam), digest)
    found = Embeddings(sam, stored, root / "files", root / "embeddings" / digest)
    proposals = ProposalLog(root / "proposals.jsonl")
    return Clicks(sam, digest, found, proposals, read_first_masks(subset), Shown(manifest)), len(stored)


def main(
    port: Annotated[int, typer.Option(help="TCP port", min=1, max=65535)] = 9090,
    host: Annotated[str, typer.Option(help="address to listen on; others than loopback are exposed")] = SAM_HOST,
    root: Annotated[Path, typer.Option(help="Label Studio's folder")] = Path(".label_studio"),
    sam: Annotated[str, typer.Option(help="checkpoint; by default prelabel.sam of params.yaml")] = "",
    embeddings: Annotated[Path, typer.Option(help="shards of prelabel")] = Path("data/prelabel/embeddings"),
    subset: Annotated[Path, typer.Option(help="table of prelabel")] = Path("data/prelabel/subset.parquet"),
    manifest: Annotated[Path, typer.Option(help="which task shows which image")] = Path(
        "data/label_studio/manifest.json"
    ),
) -> None:
    """Serve SAM to Label Studio until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if not is_loopback(host):
        log.warning("host: %s can be reached from outside; Label Studio sends tokens, so put TLS before it", host)
    clicks, num_stored = open_clicks(load_sam(sam or load().prelabel.sam), root, embeddings, subset, manifest)
    app = create_app(clicks, Waker(os.environ.get("PREFECT_API_URL", "")))
    print(f"SAM backend {clicks.model_version}, {num_stored} stored embeddings: http://{host}:{port}", flush=True)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(str(error))
