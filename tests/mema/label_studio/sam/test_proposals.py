"""The log of proposals survives kills, full disks and readers who click at once."""

import json
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mema.label_studio.sam.proposals import ProposalLog, proposal_line
from models.segmentation.masks import mask_sha256
from models.segmentation.sam import Prompt
from tests.worlds.click import logged

IMAGE_ID = "ab" * 32
MASK = np.arange(80 * 96).reshape(80, 96) % 7 == 0
PROMPT = Prompt(((4.5, 6.0), (1.0, 2.0)), (True, False), (0.0, 1.0, 20.0, 30.0))


def line(project: int = 3) -> str:
    return proposal_line(project, IMAGE_ID, PROMPT, MASK, sam="0123456789abcdef", first_mask=True)


def test_a_proposal_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "proposals.jsonl"
    ProposalLog(path).append([line(), line(4)])
    (first, second), damaged = logged(path)
    assert damaged == 0
    assert (first.project, second.project) == (3, 4)
    assert (first.image_id, first.prompt, first.sam, first.first_mask) == (IMAGE_ID, PROMPT, "0123456789abcdef", True)
    assert (first.mask == MASK).all()
    assert first.mask_sha256 == mask_sha256(MASK)
    assert path.stat().st_mode & 0o777 == 0o600


def test_fields_are_those_that_the_annotations_stage_reads(tmp_path: Path) -> None:
    written = json.loads(line())
    assert {"time", "project", "image_id", "prompt", "mask_sha256", "mask", "sam"} <= written.keys()
    assert written["prompt"] == {
        "points": [[4.5, 6.0], [1.0, 2.0]],
        "positive": [True, False],
        "box": [0.0, 1.0, 20.0, 30.0],
    }


@pytest.mark.parametrize("keep", [1, 40, -2])
def test_a_cut_last_line_costs_itself_only(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "proposals.jsonl"
    ProposalLog(path).append([line()])
    with path.open("a") as handle:
        handle.write(line()[:keep])
    assert len(logged(path)[0]) == 1
    ProposalLog(path).append([line(5)])
    proposals, damaged = logged(path)
    assert ([proposal.project for proposal in proposals], damaged) == ([3, 5], 1)


def test_threads_never_mix_their_lines(tmp_path: Path) -> None:
    log = ProposalLog(tmp_path / "proposals.jsonl")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda project: log.append([line(project), line(project)]), range(40)))
    proposals, damaged = logged(log.path)
    projects = [proposal.project for proposal in proposals]
    assert damaged == 0
    assert sorted(projects) == sorted([*range(40), *range(40)])
    assert projects[::2] == projects[1::2]


def test_a_full_disk_is_an_error_and_the_next_line_stands_alone(tmp_path: Path) -> None:
    log = ProposalLog(tmp_path / "proposals.jsonl")
    log.append([line()])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 50, limits[1]))
        with pytest.raises(OSError, match="is the disk full"):
            log.append([line()])
        with pytest.raises(OSError, match="File too large"):
            log.append([line()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    log.append([line(6)])
    proposals, damaged = logged(log.path)
    assert ([proposal.project for proposal in proposals], damaged) == ([3, 6], 1)
