"""The log of what the machine proposed: without it, an accepted machine mask could not be told from a hand's."""

import base64
import json
import os
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from mema.runtime import durable
from models.segmentation.masks import encode_mask, mask_sha256
from models.segmentation.sam import Prompt


def proposal_line(
    project: int, image_id: str, prompt: Prompt, mask: Bool[np.ndarray, "h w"], *, sam: str, first_mask: bool
) -> str:
    """Return one line of the log, stamped with the present time; `prompt` is what the network got.

    `first_mask`: the reader's click fell on the stored first mask, so its box was added to the prompt.
    """
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "project": project,
        "image_id": image_id,
        "prompt": asdict(prompt),
        "mask_sha256": mask_sha256(mask),
        "mask": base64.b64encode(encode_mask(mask)).decode(),
        "sam": sam,
        "first_mask": first_mask,
    }
    return json.dumps(line, allow_nan=False)


class ProposalLog:
    """An append-only file of JSON lines; a line is on the disk before `append` returns."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()

    def append(self, lines: list[str]) -> None:
        """Write and flush lines; raises OSError where the disk refuses, and then they do not count.

        The file is opened each time, so one that was moved away or cut is never written into the void.
        """
        data = "".join(f"{line}\n" for line in lines).encode()
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                if _ends_within_line(descriptor):
                    data = b"\n" + data
                if os.write(descriptor, data) != len(data):
                    raise OSError(f"{self.path}: cut while writing; is the disk full?")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if fresh:
                durable.sync_folder(self.path.parent)


def _ends_within_line(descriptor: int) -> bool:
    """Tell whether the last line was cut, by a kill or a full disk."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
