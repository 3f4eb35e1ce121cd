"""Flows agree with the graph of stages and start light."""

import subprocess
import sys
from pathlib import Path

import yaml

from flows.annotate import annotate, poll
from flows.deidentify import deidentify
from flows.pipeline import pipeline
from flows.steps import bring_up_to_date
from flows.synthesize import synthesize
from mema.project import graph

ROOT = Path(__file__).parents[2]


def edges() -> list[tuple[str, str]]:
    """Return (before, after) for each edge of `dvc dag` between stages of the root dvc.yaml."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "dag", "--dot"]
    dot = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    pairs = [line.strip().rstrip(";").split(" -> ") for line in dot.splitlines() if " -> " in line]
    return [(a.strip('"'), b.strip('"')) for a, b in pairs if ":" not in a + b]


def test_the_flows_run_the_stages_of_the_graph_each_after_those_it_needs() -> None:
    pairs = edges()
    flows = ("synthesize", "annotate", "deidentify")
    stages = [stage for flow in flows for stage in graph.stages(flow, ROOT / "dvc.yaml")]
    assert set(stages) == {name for pair in pairs for name in pair}
    assert len(stages) == len(set(stages))
    assert [pair for pair in pairs if stages.index(pair[0]) >= stages.index(pair[1])] == []


def test_deployments_name_flows_that_exist() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert {d["entrypoint"] for d in deployments} == {
        f"{flow.fn.__module__}.{flow.fn.__name__}" for flow in (synthesize, annotate, poll, deidentify, pipeline)
    }


def test_a_task_never_answers_from_prefects_cache() -> None:
    assert bring_up_to_date.cache_policy is not None
    assert bring_up_to_date.cache_policy.compute_key(None, {"stage": "sample"}, {}) is None  # type: ignore[arg-type]


def test_flows_import_without_torch() -> None:
    code = (
        "import sys, flows.annotate, flows.deidentify, flows.pipeline, flows.synthesize; "
        "print([m for m in ('torch', 'diffusers', 'transformers', 'cv2', 'tasks') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
