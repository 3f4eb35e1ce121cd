"""The runner of all benchmarks: equal results first, then turns taken in one process, then a row of the table.

pyperf holds the clock, the values, their statistics and what the machine is; what it lacks is taking turns: its
runner times one candidate to its end and then the next, so that a busy minute falls on one of them alone.
"""

import ctypes
import gc
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import psutil
import pyperf
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mema.runtime import memory as allocator
from models.statistics.leakage import wilson_interval

Rounds = Annotated[int, typer.Option(min=1, help="turns of each candidate; medians are printed")]
Out = Annotated[Path | None, typer.Option(resolve_path=True, help="folder for the rows and pyperf's files, as JSON")]
KIB, GIB = 2**10, 2**30
CLEAR_PEAK = "5"  # Linux: the peak of the resident memory starts again


@dataclass(frozen=True)
class Case:
    """One hot path on one workload: what a stage calls, what people use instead, and the floor of this machine."""

    path: str
    workload: str
    ours: Callable[[], Any]
    peers: Mapping[str, Callable[[], Any]]
    check: Callable[[], str]  # raises where results differ; returns what is equal
    limit: Callable[[], Any] | None = None
    limit_name: str = ""
    targets: Mapping[str, float] = field(default_factory=dict)  # of a peer's ratio, or of "limit"
    scale: Mapping[str, float] = field(default_factory=dict)  # a turn's work over the workload's, where not 1
    on_cpu: bool = False  # computes on the CPU though there is a GPU
    elsewhere: bool = False  # computes in another process, whose memory is not seen


@dataclass(frozen=True)
class Row:
    """A line of the table: medians over the turns, ratios of the turns, peaks of memory."""

    path: str
    workload: str
    equal: str
    device: str
    rounds: int
    ours_seconds: float
    peers: dict[str, dict[str, Any]]
    limit_name: str
    limit_seconds: float | None
    share_of_limit: float | None
    share_target: float | None
    peak_gib: float | None
    added_gib: float | None


def device_name(on_cpu: bool = False) -> str:
    """Say what computes."""
    if torch.cuda.is_available() and not on_cpu:
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU threads"


@contextmanager
def variables(**values: str) -> Iterator[None]:
    """Set variables of the environment for a while: what else this process starts is not to see them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def peak_memory(work: Callable[[], Any], on_cpu: bool = False) -> tuple[int, int]:
    """Return the peak of memory during `work`, and what of it came on top, in bytes: the GPU's, else this process's.

    Freed memory is given back first: what an allocator keeps would count as having stood there before.
    """
    gc.collect()
    if torch.cuda.is_available() and not on_cpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text(CLEAR_PEAK)
    except OSError as error:
        raise RuntimeError(
            f"/proc/self/clear_refs: {error}; peaks of memory need Linux, and a container that lets a process "
            "write to its own /proc"
        ) from None
    before = psutil.Process().memory_info().rss
    work()
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * KIB for line in status if line.startswith("VmHWM"))
    return peak, peak - before


def products(flop: float, dtype: torch.dtype, device: torch.device) -> tuple[Callable[[], None], float]:
    """Return large matrix products of about `flop` operations, and their operations over `flop`."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    times = max(1, round(flop / (2 * side**3)))

    def work() -> None:
        for _ in range(times):
            torch.mm(a, b, out=out)

    return work, times * 2 * side**3 / flop


def flop_of(work: Callable[[], Any]) -> float:
    """Return the operations of matrix products and convolutions, 2 a multiplication, those of attention too.

    PyTorch counts its fused attention on a GPU; on a CPU it has to be taken apart, which a GPU's sizes do not fit.
    """
    attention = nullcontext() if torch.cuda.is_available() else sdpa_kernel(SDPBackend.MATH)
    with FlopCounterMode(display=False) as counter, attention:
        work()
    return float(counter.get_total_flops())


def turn(work: Callable[[], Any]) -> float:
    """Return the seconds of one run, the GPU's part included."""
    start = pyperf.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return pyperf.perf_counter() - start


def measure(case: Case, rounds: int, out: Path | None = None) -> Row:
    """Check that results are equal, warm everything up, then let the candidates take turns, each first in one."""
    if not __debug__:
        raise RuntimeError("python -O leaves out the checks of equality; run without -O and PYTHONOPTIMIZE")
    equal = case.check()
    works = {"ours": case.ours, **case.peers}
    if case.limit is not None:
        works["limit"] = case.limit
    peak, added = (None, None) if case.elsewhere else (part / GIB for part in peak_memory(case.ours, case.on_cpu))
    warm = {name: turn(work) / case.scale.get(name, 1.0) for name, work in works.items()}
    taken: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(turn(works[name]) / case.scale.get(name, 1.0))
    if out is not None:
        _write_pyperf(case, taken, warm, out)
    middle = {name: statistics.median(values) for name, values in taken.items()}
    limit = middle.get("limit")
    return Row(
        case.path, case.workload, equal, device_name(case.on_cpu), rounds, middle["ours"],
        {name: _ratio(taken[name], taken["ours"], case.targets.get(name)) for name in case.peers},
        case.limit_name, limit, limit / middle["ours"] if limit else None, case.targets.get("limit"),
        peak, added,
    )  # fmt: skip


def _ratio(peer: list[float], ours: list[float], target: float | None) -> dict[str, Any]:
    """Return how many times as fast ours is, turn by turn."""
    ratios = [a / b for a, b in zip(peer, ours, strict=True)]
    return {
        "seconds": statistics.median(peer), "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)], "target": target,
    }  # fmt: skip


def _write_pyperf(case: Case, taken: dict[str, list[float]], warm: dict[str, float], out: Path) -> None:
    """Write the values as pyperf reads them: `python -m pyperf stats FILE`, `compare_to`, `hist`."""
    suite = [
        pyperf.Benchmark(
            [pyperf.Run(values, warmups=[(1, warm[name])], metadata={"name": f"{case.path} {name}", "loops": 1})]
        )
        for name, values in taken.items()
    ]
    out.mkdir(parents=True, exist_ok=True)
    pyperf.BenchmarkSuite(suite).dump(str(out / f"{case.path}.pyperf.json"), replace=True)


def report(case: Case, rounds: int, out: Path | None) -> None:
    """Measure, print the row, and write it to `out`. All candidates have the allocator of the stages."""
    allocator.keep_freed()
    row = measure(case, rounds, out)
    if out is not None:
        (out / f"{case.path}.json").write_text(json.dumps(asdict(row)) + "\n")
    show([row])


def write(rows: list[Row], file: Path) -> None:
    """Write the table as JSON."""
    file.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def show(rows: list[Row]) -> None:
    """Print the table: what it is beside, how many times as fast, and how near to this machine's limit."""
    table = Table(title=f"Hot paths on {', '.join(sorted({row.device for row in rows}))}", title_justify="left")
    for name in ("path", "workload", "peer", "ours", "ratio", "target", "share of limit", "memory"):
        table.add_column(name, justify="right" if name in ("ours", "ratio", "target") else "left")
    for row in rows:
        for i, (name, peer) in enumerate(row.peers.items()):
            low, high = peer["spread"]
            table.add_row(
                row.path if not i else "", row.workload if not i else "", f"{name} {duration(peer['seconds'])}",
                duration(row.ours_seconds) if not i else "",
                f"{peer['ratio']:.2f} [dim]({low:.2f}-{high:.2f})[/]", against(peer["ratio"], peer["target"]),
                share(row) if not i else "",
                memory(row) if not i else "",
            )  # fmt: skip
        table.add_row("", f"[dim]equal: {row.equal}[/]", end_section=True)
    Console(width=None if os.isatty(1) else 200).print(table)


def duration(seconds: float) -> str:
    """Return seconds as people read them."""
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (120.0, 1.0, "s")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds / 60:.1f} min"


def against(value: float, target: float | None) -> str:
    """Return a target, and whether the value reaches it."""
    if target is None:
        return "-"
    return f"{target:g} [green]met[/]" if value >= target else f"{target:g} [red]missed[/]"


def memory(row: Row) -> str:
    """Return the peak, and what of it the work added."""
    if row.peak_gib is None or row.added_gib is None:
        return "-"
    return f"{row.peak_gib:.2f} GiB, +{row.added_gib:.2f}"


def share(row: Row) -> str:
    """Return how much of the limit's speed is reached."""
    if row.share_of_limit is None:
        return "-"
    text = f"{row.share_of_limit:.2f} of {row.limit_name}"
    return text if row.share_target is None else f"{text}, {against(row.share_of_limit, row.share_target)}"


def need_plan(data: Path) -> None:
    """Refuse to begin where stages that are run have no plan to work on."""
    if not (data / "plan/plan.parquet").exists():
        raise typer.BadParameter(f"{data}/plan: no plan there; run dvc repro plan_sampling first")


def in_new_folder(work: Callable[[Path], None]) -> None:
    """Call `work` in an empty folder that goes afterwards: stages write .scratch where they are started."""
    with tempfile.TemporaryDirectory() as name, chdir(name):
        work(Path(name))


def rate(hits: float, num: int) -> str:
    """Return a share in per cent with its 95 % interval (Wilson)."""
    if not num:
        return "-"
    low, high = wilson_interval(hits, num)
    return f"{100 * hits / num:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {num}"
