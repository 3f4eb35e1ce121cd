"""SIGKILL in the stages of the graph at moments that a seed draws, and what each kill leaves behind."""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from tests.faults import small_project
from tests.faults.conftest import SEED, Tally
from tests.faults.repro import Repro

HEAD_START = "ingest_patients"  # the undisturbed run is ahead by this stage, so that times are known
PUBLISHING = ("ingest_patients", "sample", "deidentify")  # killed as soon as an out appears
LOCKING = ("profile_cohort", "plan_sampling", "annotations")  # killed while dvc.lock is being written
TRAINING = {"train_lora": "lora", "train_deid": "deid", "train_judges": "sign classifier"}  # and their bars
CHECKPOINTS = ("checkpoint.pt", "classifier.pt")
TIMED = {"data/report"}  # the page says how long each stage took


@dataclass(frozen=True)
class Kill:
    """Where to kill: `moment` is a share of the stage's undisturbed time, "out", "lock" or "checkpoint"."""

    stage: str
    moment: float | str
    whole_group: bool


Plan = Callable[[list[str]], dict[str, list[Kill]]]


@dataclass(frozen=True)
class Found:
    """What a kill left behind."""

    kill: Kill
    hit: str  # stage, dvc, or nothing
    shards: int  # whole ones of the stage that it had finished
    torn: bool  # whether it cut a lock file off
    orphans: list[str]


def once_each(stages: list[str]) -> dict[str, list[Kill]]:
    """Return one kill of each stage at a moment that SEED draws, every other one of the whole process group."""
    draw = random.Random(SEED)
    return {
        stage: [Kill(stage, draw.uniform(0.05, 0.8), whole_group=index % 2 == 1)] for index, stage in enumerate(stages)
    }


def aimed(stages: list[str]) -> dict[str, list[Kill]]:
    """Return those of `once_each` among others at the worst moments, in their order."""
    kills = once_each(stages)
    for moment, names in (("out", PUBLISHING), ("checkpoint", TRAINING)):
        for stage in names:
            kills[stage].insert(0, Kill(stage, moment, True))
    for stage in LOCKING:
        kills[stage].append(Kill(stage, "lock", True))
    return kills


def whole_shards(folder: Path, stage: str) -> int:
    """Return how many shards with a checksum the stage has in scratch."""
    return len(list(folder.glob(f".scratch/{stage}-*/*.sha256")))


def locks(folder: Path) -> int:
    """Return the size of both lock files; while DVC writes one, it is smaller than before."""
    return sum(file.stat().st_size for file in map(folder.joinpath, small_project.LOCKS) if file.exists())


@dataclass
class Watch:
    """What is seen of a stage until the moment of its kill."""

    run: Repro
    kill: Kill
    seconds: float  # its undisturbed time
    shards: int = 0

    def __post_init__(self) -> None:
        stages = self.run.stages()
        self.start, self.locks = stages[self.kill.stage], locks(self.run.folder)
        outs = small_project.stages(self.run.folder)[self.kill.stage]
        self.outs = [self.run.folder / out for out in outs]

    def due(self) -> bool:
        """Tell whether the moment has come; it has in any case when DVC goes on to the next stage."""
        self.shards = max(self.shards, whole_shards(self.run.folder, self.kill.stage))
        over = list(self.run.stages())[-1] != self.kill.stage or self.run.process.poll() is not None
        if self.kill.moment == "lock":
            return over or locks(self.run.folder) < self.locks
        if self.kill.moment == "checkpoint":
            files = self.run.folder.glob(f".scratch/{self.kill.stage}-*/*.pt")
            return over or any(file.name in CHECKPOINTS for file in files)
        if self.kill.moment == "out":
            return over or any(path.exists() for path in self.outs)
        return over or time.monotonic() >= self.start + float(self.kill.moment) * self.seconds


def strike(run: Repro, kill: Kill, seconds: float) -> Found:
    """Wait for the moment and kill; a stage that is over before is killed in what DVC does next."""
    watch = Watch(run, kill, seconds)
    while not watch.due():
        time.sleep(0.002)
    victim = run.stage_process(kill.stage)
    hit = "stage" if victim else "dvc" if run.process.poll() is None else "nothing"
    if victim and not kill.whole_group:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        assert run.finish() != 0, f"{kill}: dvc did not notice\n{run.text[-2000:]}"
    else:
        run.kill()
    torn = locks(run.folder) < watch.locks
    return Found(kill, hit, watch.shards, torn, run.left_behind())


def images(folder: Path) -> dict[str, set[str]]:
    """Return the image ids of every table of outs, by its path."""
    found: dict[str, set[str]] = {}
    for file in sorted((folder / "data").rglob("*.parquet")):
        if "image_id" in pq.read_schema(file).names:
            name = file.relative_to(folder).as_posix()
            found[name] = set(pq.ParquetFile(file).read(columns=["image_id"])["image_id"].to_pylist())
    return found


@dataclass
class Outcome:
    """Two runs of the same graph: one undisturbed, one killed again and again; `texts` are its parts."""

    undisturbed: Repro
    killed: Path
    found: list[Found]
    redone: dict[str, int]
    texts: list[str]


def kill_through(undisturbed: Repro, folder: Path, plan: Plan) -> Outcome:
    """Run the graph with every kill of the plan; return what was found, once both runs are through."""
    kills = plan(list(small_project.stages(folder)))
    found: list[Found] = []
    redone: Counter[str] = Counter()
    texts: list[str] = []
    begin = time.monotonic()
    undisturbed.seconds(HEAD_START)
    while True:
        run = Repro(folder)
        kill = next_kill(run, kills)
        struck = strike(run, kill, undisturbed.seconds(kill.stage)) if kill else None
        code = run.finish()
        count_redone(found, run, redone)
        texts.append(run.text)
        if struck is None:
            assert code == 0, run.text[-4000:]
            break
        found.append(struck)
        print(f"{time.monotonic() - begin:6.1f} s  {struck}", flush=True)
    print(f"{time.monotonic() - begin:6.1f} s  done", flush=True)
    assert undisturbed.finish() == 0, undisturbed.text[-4000:]
    return Outcome(undisturbed, folder, found, dict(redone), texts)


def next_kill(run: Repro, kills: dict[str, list[Kill]]) -> Kill | None:
    """Wait until a stage starts that is still to be killed; None where the run ends before."""
    while True:
        ended = run.process.poll() is not None
        for stage in run.stages():
            if kills[stage]:
                return kills[stage].pop(0)
        if ended:
            run.finish()
            return None
        time.sleep(0.01)


def count_redone(before: list[Found], run: Repro, redone: Counter[str]) -> None:
    """Add the shards that were finished at the last kill and that this run did not find done."""
    if not before:
        return
    stage, done = before[-1].kill.stage, run.already_done()
    if stage in run.stages() and (stage in done or run.locked(stage)):
        redone[stage] += max(0, before[-1].shards - done.get(stage, 0))


def check_bytes(outcome: Outcome, tally: Tally, kind: str) -> None:
    """Count what the kills did; every output but TIMED must be that of the undisturbed run, byte by byte."""
    folders = outcome.undisturbed.folder, outcome.killed
    expected, got = (small_project.locked_outs(folder) for folder in folders)
    before, after = (images(folder) for folder in folders)
    lost = sum(len(ids - after.get(name, set())) for name, ids in before.items())
    changed = sum(len(ids - before.get(name, set())) for name, ids in after.items())
    landed = [found for found in outcome.found if found.hit != "nothing"]
    tally(kind, faults=len(landed), lost=lost, changed=changed, redone=sum(outcome.redone.values()))
    assert {name: value for name, value in got.items() if expected.get(name) != value}.keys() <= TIMED
    assert got.keys() == expected.keys()
    assert small_project.seniors_work(outcome.killed) > 0
    assert (lost, changed) == (0, 0)
