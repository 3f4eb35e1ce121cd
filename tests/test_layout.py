"""One name per step, and no module that a stage uses escapes DVC's notice."""

import importlib
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import grimp
import pytest
import typer
import yaml

from mema.params import Params
from mema.project import dvc, graph, remotes
from mema.runtime import entry

ROOT = Path(__file__).parents[1]
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
METAS = graph.metas(ROOT / "dvc.yaml")
COMMON_WORDS = {"report", "select", "sample", "annotations"}  # stages that have a word of everyday use for their name
RUNTIME, FORMAT = ("mema/runtime/", "mema/runtime/FORMAT")  # the bytes that the runtime writes are followed by FORMAT


def module_of(stage: str) -> str:
    return f"tasks.{METAS[stage].flow}.{stage}"


@cache
def imports() -> grimp.ImportGraph:
    """Return who imports whom, but for what settings alone import: the values themselves are followed as params."""
    graph = grimp.build_graph(*entry.PACKAGES, cache_dir=None)
    for module in ("phantom.params", "mema.params", *graph.find_descendants("mema.params")):
        graph.remove_module(module)
    return graph


def file_of(module: str) -> str:
    path = Path(*module.split("."))
    return str(path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py"))


def test_each_stage_has_a_module_and_a_section_of_its_name() -> None:
    assert [name for name in GRAPH if not (ROOT / f"tasks/{METAS[name].flow}/{name}.py").exists()] == []
    assert [name for name in GRAPH if name not in Params.model_fields] == []


def test_the_folders_of_tasks_are_the_flows_and_what_travels_to_workers() -> None:
    folders = {path.parent.name for path in (ROOT / "tasks").glob("*/__init__.py")}
    assert folders == {meta.flow for meta in METAS.values()} | {"works"}
    assert [name for name in folders - {"works"} if not (ROOT / f"flows/{name}.py").exists()] == []


def test_flows_name_no_stage() -> None:
    words = {file.name: set(re.findall(r"[a-z_]+", file.read_text())) for file in (ROOT / "flows").glob("*.py")}
    flows = {meta.flow for meta in METAS.values()}
    assert {name: found for name, text in words.items() if (found := text & set(GRAPH) - flows - COMMON_WORDS)} == {}


@pytest.mark.parametrize("stage", GRAPH)
def test_a_stage_runs_its_module_and_follows_its_section(stage: str) -> None:
    assert GRAPH[stage]["cmd"].split()[:3] == ["python", "-m", module_of(stage)]
    assert stage in GRAPH[stage]["params"]
    assert GRAPH[stage]["desc"]


# Modules that find their neighbours by name, and whom they find.
BY_NAME = {"models.deid.encoders.medical_encoder": "models.deid.encoders", "models.methods.method": "models.methods"}


def used_by(module: str) -> set[str]:
    """Return the modules that one imports, also those that are found by the name that params.yaml says."""
    used = {module, *imports().find_upstream_modules(module)}
    for finder, folder in BY_NAME.items():
        if finder in used:
            for name in imports().find_children(folder):
                used |= {name, *imports().find_upstream_modules(name)}
    return used


@pytest.mark.parametrize("stage", GRAPH)
def test_a_stage_depends_on_every_module_that_it_imports(stage: str) -> None:
    files = {file_of(name) for name in used_by(module_of(stage))}
    written = {file for file in files if not file.endswith("__init__.py") and (ROOT / file).stat().st_size}
    needed = {FORMAT if file.startswith(RUNTIME) else file for file in written}
    deps = [Path(dep) for dep in GRAPH[stage]["deps"]]
    unseen = {file for file in needed if not any(Path(file).is_relative_to(dep) for dep in deps)}
    assert unseen == set(), f"add to the deps of {stage} in dvc.yaml: {', '.join(sorted(unseen))}"


@pytest.mark.parametrize("stage", GRAPH)
def test_no_dep_of_code_is_idle(stage: str) -> None:
    files = {file_of(name) for name in used_by(module_of(stage))}
    code = [dep for dep in GRAPH[stage]["deps"] if dep.split("/")[0] in entry.PACKAGES and dep != FORMAT]
    assert [dep for dep in code if not any(Path(file).is_relative_to(dep) for file in files)] == []


def test_no_stage_lists_beside_its_entry_what_its_unfinished_work_follows_from() -> None:
    lists = re.compile(r"fingerprint = durable|__path__|^(CODE|MODELS|FILES) = ", re.MULTILINE)
    files = [file for file in (ROOT / "tasks").rglob("*.py") if file.name != "entry.py"]  # the entry's own files
    assert [file.name for file in files if lists.search(file.read_text())] == []


@pytest.mark.parametrize("stage", GRAPH)
def test_a_stage_takes_the_options_that_the_graph_passes(stage: str) -> None:
    app = typer.Typer()
    app.command()(importlib.import_module(module_of(stage)).main)
    options = typer.main.get_command(app).params
    passed = {word for word in GRAPH[stage]["cmd"].split() if word.startswith("--")}
    assert passed <= {name for option in options for name in option.opts}
    assert {option.opts[0] for option in options if option.required} <= passed


def test_a_stage_is_a_command_line() -> None:
    command = [sys.executable, "-m", "tasks.synthesize.plan_sampling", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "--plan" in done.stdout


def test_tests_mirror_the_tree() -> None:
    folders = [path for path in (ROOT / "models").iterdir() if (path / "__init__.py").exists()]
    assert [path.name for path in folders if not (ROOT / "tests/models" / path.name).is_dir()] == []


def test_the_twins_in_git_are_those_that_the_graph_would_train() -> None:
    """Else the demo of a fresh clone trains for hours."""
    stale = {stage: why for stage, why in dvc.status().items() if ":twin_" in stage}
    assert stale == {}, "run `make twins`, or `dvc commit` where the change cannot alter them"


# What may leave, and the restricted outputs that its stage reads: each line was thought about (docs/decisions.md).
PUBLIC = {
    "data/mema": {"data/selected", "data/annotations"},
    "data/mema_seg": {"data/selected", "data/annotations"},
    "data/report_readers": set(),
    "data/judges": set(),
    "data/ablation": {"data/medical_encoder", "data/public/faces"},  # figures alone come of them
}


def test_every_cached_output_names_its_remote_and_what_is_restricted_stays_inside() -> None:
    documents = [GRAPH, yaml.safe_load((ROOT / "data/phantom/dvc.yaml").read_text())["stages"]]
    stages = [stage for document in documents for stage in document.values()]
    outs = [out for stage in stages for out in stage.get("outs", [])]
    assert [out for out in outs if isinstance(out, str)] == []
    named = {path: options.get("remote") for out in outs for path, options in out.items()}
    kept_in_git = {path for out in outs for path, options in out.items() if options.get("cache") is False}
    assert {path for path, remote in named.items() if remote is None} == kept_in_git
    assert {remote for remote in named.values() if remote} == set(remotes.NAMES)
    inside = {path for path, remote in named.items() if remote == remotes.RESTRICTED}
    reads = {path: stage["deps"] for stage in stages for out in stage.get("outs", []) for path in out}
    found = {
        path: {place for place in inside for dep in reads[path] if Path(dep).is_relative_to(place)}
        for path, remote in named.items()
        if remote == remotes.PUBLIC
    }
    assert found == PUBLIC
    assert set(remotes.MAY_LEAVE) == set(PUBLIC)


def test_the_plotted_losses_are_those_that_the_training_reports() -> None:
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    (curves,) = (plot for plot in plots if isinstance(plot, dict))
    (drawn,) = curves.values()
    losses = json.loads((ROOT / "data/metrics/train_deid.json").read_text())["losses"]
    assert drawn["y"] == {f"data/deid/live/plots/metrics/loss/{name}.tsv": name for name in drawn["y"].values()}
    assert set(drawn["y"].values()) == set(losses)


def test_the_docs_show_the_graph_as_it_is() -> None:
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "dag", "--md"]
    drawn = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert drawn in (ROOT / "docs/graph.md").read_text(), "put the output of `make graph` into docs/graph.md"
