"""A clinic for the browser test: server, SAM backend, three readers, twelve faces, and a checkout's folders."""

import hashlib
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from mema.label_studio.exchange.pull import pull
from mema.label_studio.exchange.push import push
from mema.label_studio.server.access import SAM_HOST
from mema.params.annotate import Annotate, Annotations
from mema.runtime import shards
from models.diseases import DISEASES
from models.images import encode_png
from models.segmentation.prompts import inner_point
from phantom.drawing import render, sample_phantom, sample_shot
from tasks.annotate import annotations
from tests.e2e.label_studio_world import ROOT, LabelStudioWorld

READERS = ("eye_1", "eye_2", "eye_3")
ME = READERS[0]
NUM_IMAGES = 12
SIZE_PX = 96


class Backend:
    """The SAM backend as its own process, killed and started again at the same port."""

    def __init__(self, root: Path, checkpoint: Path, log: Path, port: int):
        self.root, self.checkpoint, self.log, self.port = root, checkpoint, log, port
        self.url = f"http://{SAM_HOST}:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "mema.label_studio.sam.backend", "--port", str(self.port)]
        command += ["--root", str(self.root), "--sam", str(self.checkpoint)]
        command += ["--manifest", str(self.log.parent / "label_studio/manifest.json")]
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=sink, stderr=sink)
        deadline = time.monotonic() + 400
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.3)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)


@dataclass(frozen=True)
class Face:
    """A phantom with a tumour, and where it is."""

    image_id: str
    png: bytes
    lesion: np.ndarray

    @property
    def inside(self) -> tuple[int, int]:
        return inner_point(self.lesion)


def draw_face(seed: int, disease: str) -> Face:
    rng = np.random.default_rng([7, seed])
    person, shot = sample_phantom(rng), sample_shot(rng)
    shown = render(person, shot, SIZE_PX, disease, "" if disease == "normal" else "heavy", "left")
    png = encode_png(shown.image)
    return Face(hashlib.sha256(png).hexdigest(), png, shown.lesion_mask > 0)


class Clinic:
    """Server, backend, three readers, twelve faces, and the folders of a checkout."""

    def __init__(self, world: LabelStudioWorld, backend: Backend, folder: Path, readers: tuple[str, ...] = READERS):
        self.world, self.backend, self.folder = world, backend, folder
        self.me = readers[0]
        self.accounts = world.accounts_for(*readers)
        self.faces = {face.image_id: face for face in (draw_face(seed, "bcc") for seed in range(NUM_IMAGES))}
        self.selected, self.subset = folder / "selected", folder / "subset.parquet"
        self.exports, self.metrics = folder / "label_studio", folder / "annotations.json"
        ids = list(self.faces)
        images = [face.png for face in self.faces.values()]
        table = pa.table({"image_id": ids, "image": images, "disease": ["bcc"] * len(ids)})
        shards.write_shards(table, self.selected, shard_rows=100)
        first = pa.array([None] * len(ids), pa.binary())
        wanted = pa.table({"image_id": ids, "outline": [True] * len(ids), "first_mask": first})
        shards.write_table(self.subset, wanted)
        annotate = Annotate(readers=readers, senior="senior", seed=7, repeat_share=0.0, show_intended_label=False)
        examples = {disease: draw_face(100 + i, disease).png for i, disease in enumerate(DISEASES)}
        self.target = world.target(backend.url)
        self.manifest = push(self.selected, self.subset, self.exports, annotate, self.target, examples)

    @cached_property
    def face_of(self) -> dict[str, Face]:
        """Key of a task -> what it shows."""
        return {task.key: self.faces[task.image_id] for task in self.manifest.readers[self.me].tasks}

    def annotation(self, key: str) -> list[dict[str, Any]]:
        """Return what the server holds of one of my tasks."""
        with self.target.client(self.me) as client:
            project = self.manifest.readers[self.me].project
            tasks = client.pages("/api/tasks", "tasks", project=project, fields="all")
            (task,) = [task for task in tasks if task["data"]["key"] == key]
        (annotation,) = task["annotations"]
        return annotation["result"]

    def votes(self) -> dict[str, dict[str, Any]]:
        """Pull, read, and return my votes by image."""
        pull(self.exports, self.target)
        out = self.folder / "annotations"
        section = Annotations(max_unusable=0.0, allow_incomplete=True)
        annotations.run(self.selected, self.subset, self.exports, out, self.metrics, section)
        rows = shards.read_table(out / "votes.parquet").to_pylist()
        assert {row["reader"] for row in rows} == {self.me}
        return {row["image_id"]: row for row in rows}
