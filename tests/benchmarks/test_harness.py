"""The runner of the benchmarks: what it refuses to time, and what it makes of the times."""

import importlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyperf
import pytest
import torch
import typer
from typer.testing import CliRunner

from benchmarks import harness
from benchmarks.__main__ import CPU, GPU, main
from benchmarks.harness import Case

SECONDS = {"ours": (2.0, 4.0, 2.0), "peer": (6.0, 6.0, 10.0), "limit": (1.0, 1.0, 1.0)}


def case(check: Callable[[], str] = lambda: "all", **options: Any) -> Case:
    """A case whose candidates are told apart by the default of their argument."""
    works = {name: lambda name=name: name for name in SECONDS}
    return Case(
        "path", "small", works["ours"], {"peer": works["peer"]}, check, limit=works["limit"],
        limit_name="the floor", **options,
    )  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let each turn take what SECONDS says, after a first one of each, and write down whose it was."""
    turns: list[str] = []

    def turn(work: Callable[[], Any]) -> float:
        name = work.__defaults__[0]
        turns.append(name)
        return ((99.0,) + SECONDS[name])[turns.count(name) - 1]

    monkeypatch.setattr(harness, "turn", turn)
    return turns


def test_nothing_is_timed_where_results_differ(clock):
    def check() -> str:
        raise AssertionError("row 3 differs")

    with pytest.raises(AssertionError, match="row 3 differs"):
        harness.measure(case(check), 3)
    assert clock == []


def test_candidates_take_turns_and_ratios_are_those_of_the_turns(clock):
    row = harness.measure(case(targets={"peer": 3.0, "limit": 0.75}), 3)
    turns = ["ours", "peer", "limit"]
    assert clock == turns * 2 + ["peer", "limit", "ours"] + ["limit", "ours", "peer"]
    assert (row.ours_seconds, row.limit_seconds, row.share_of_limit) == (2.0, 1.0, 0.5)
    assert row.peers == {"peer": {"seconds": 6.0, "ratio": 3.0, "spread": [1.5, 5.0], "target": 3.0}}
    assert row.equal == "all"


def test_a_part_of_the_work_counts_as_the_whole(clock):
    row = harness.measure(case(scale={"peer": 0.25, "limit": 2.0}), 3)
    assert row.peers["peer"]["seconds"] == 24.0
    assert row.peers["peer"]["ratio"] == 12.0
    assert row.limit_seconds == 0.5


def test_values_can_be_read_by_pyperf_and_the_row_again(clock, tmp_path: Path, capsys):
    harness.report(case(targets={"peer": 9.0}), 3, tmp_path)
    suite = pyperf.BenchmarkSuite.load(str(tmp_path / "path.pyperf.json"))
    found = {bench.get_name(): bench.get_values() for bench in suite.get_benchmarks()}
    assert found == {f"path {name}": values for name, values in SECONDS.items()}
    row = harness.Row(**json.loads((tmp_path / "path.json").read_text()))
    assert row.ours_seconds == 2.0
    printed = capsys.readouterr().out
    for text in ("peer 6 s", "3.00", "1.50-5.00", "9 missed", "0.50 of the floor", "equal: all"):
        assert text in printed


def test_variables_are_as_before_afterwards(monkeypatch):
    monkeypatch.setenv("SET", "before")
    monkeypatch.delenv("UNSET", raising=False)
    with suppress(KeyError), harness.variables(SET="a", UNSET="b"):
        assert (os.environ["SET"], os.environ["UNSET"]) == ("a", "b")
        raise KeyError
    assert os.environ["SET"] == "before"
    assert "UNSET" not in os.environ


def test_the_peak_is_that_of_the_work_alone():
    big = torch.ones(2**26)  # 256 MiB that come and go before
    del big
    peak, added = harness.peak_memory(lambda: torch.ones(2**24))
    assert 2**26 * 0.9 < added < 2**26 * 1.5
    assert peak > added


@pytest.mark.parametrize(("seconds", "text"), [(3e-5, "30 us"), (0.25, "250 ms"), (90.0, "90 s"), (300.0, "5.0 min")])
def test_durations_are_written_for_people(seconds, text):
    assert harness.duration(seconds) == text


def test_products_do_what_was_asked_for_within_their_share():
    work, share = harness.products(4e10, torch.float32, torch.device("cpu"))
    assert share == pytest.approx(2 * 2048**3 * 2 / 4e10)
    work()


def test_attention_counts_among_the_operations():
    q = torch.randn(2, 4, 64, 32)
    flop = harness.flop_of(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q))
    assert flop == 2 * 2 * (2 * 4 * 64 * 64 * 32)


@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for sizes in (CPU, GPU) for name in sizes for options in sizes[name]]
)
def test_the_command_lines_of_every_path_can_be_read(name, options):
    module = importlib.import_module(f"benchmarks.paths.{name}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer()
        app.command()(module.main)
    command, words = typer.main.get_command(app), [*options, "--out", "x"]
    if options and not options[0].startswith("-"):
        command, words = command.commands[options[0]], words[1:]
    assert command.make_context(name, words).params["out"].name == "x"


def test_what_cannot_be_timed_here_is_told(monkeypatch):
    app = typer.Typer()
    app.command()(main)
    assert "'leak' is no hot path here; allowed: leak_nn" in words_of(app, "leak")
    assert "'leak_nn' is no hot path here; allowed: lora_step" in words_of(app, "--gpu", "leak_nn")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no GPU is visible to PyTorch here" in words_of(app, "--gpu")
    monkeypatch.delenv("MEMA_ASSETS", raising=False)
    assert "embed: left out; set MEMA_ASSETS" in words_of(app, "embed")


def words_of(app: typer.Typer, *arguments: str) -> str:
    """What the command says, on one line and without frames."""
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300"})
    assert result.exit_code
    return " ".join(result.output.replace("│", " ").split())
