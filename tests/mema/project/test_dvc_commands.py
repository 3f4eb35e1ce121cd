"""What users ask DVC itself: metrics and plots between two commits, sweeps; on small repositories with real shapes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())
LOSSES = json.loads((ROOT / "data/metrics/train_deid.json").read_text())["losses"]
# Stands for the two trainings: sheets of images, curves by dvclive, and metrics of the real files' shapes.
TRAIN = """
import json, shutil, sys
from pathlib import Path
import numpy as np, yaml
from dvclive import Live
from models.images import encode_png
from mema.runtime import durable
values = yaml.safe_load(Path("params.yaml").read_text())
rank, steps = values["train_lora"]["rank"], values["train_deid"]["steps"]
for out in ("data/lora", "data/deid", "data/ablation"):
    shutil.rmtree(out, ignore_errors=True)
for out in ("data/lora", "data/deid"):
    sheet = encode_png(np.full((32, 64, 3), rank, np.uint8))
    durable.write_bytes(Path(out, "grids/step-000100.png"), sheet)
live = Live("data/deid/live", save_dvc_exp=False, dvcyaml=None, report=None)
for step in range(10, steps + 1, 10):
    live.step = step
    for name in sys.argv[1:]:
        live.log_metric(f"loss/{name}", 1 / step)
    live.make_summary()
durable.write_text(Path("data/ablation/sweeps.svg"), "<svg xmlns='http://www.w3.org/2000/svg'/>")
for name, key in (("train_lora", "loss"), ("train_deid", "steps")):
    found = json.loads(Path("real", f"{name}.json").read_text()) | {key: steps if key == "steps" else 1 / rank}
    durable.write_json(Path(f"data/metrics/{name}.json"), found)
shutil.copyfile("real/leakage.json", "data/metrics/leakage.json")
"""


def command(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def run_dvc(folder: Path, *words: str) -> str:
    return command(folder, sys.executable, "-m", "dvc", *words)


def commit(folder: Path) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    command(folder, "git", "add", "--all")
    command(folder, "git", *identity, "commit", "--quiet", "--message", "state")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits, of rank 8 and 16; remotes, plots and metrics are declared as the project declares them."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "real").mkdir()
    for name in ("train_lora", "train_deid", "leakage"):
        (folder / f"real/{name}.json").write_bytes((ROOT / f"data/metrics/{name}.json").read_bytes())
    (folder / "train.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{TRAIN}")
    kept = {"train_lora": ["data/lora"], "train_deid": ["data/deid"], "evaluate_ablation": ["data/ablation"]}
    outs = [out for stage, paths in kept.items() for out in GRAPH["stages"][stage]["outs"] if set(out) & set(paths)]
    metrics = [{f"data/metrics/{name}.json": {"cache": False}} for name in ("train_lora", "train_deid", "leakage")]
    stage = {
        "cmd": f"{sys.executable} train.py {' '.join(LOSSES)}", "deps": ["train.py", "real"],
        "params": ["train_lora.rank", "train_deid.steps"], "outs": outs, "metrics": metrics,
    }  # fmt: skip
    document = {"stages": {"train": stage}, "plots": GRAPH["plots"]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    (folder / ".gitignore").write_text("/data/lora\n/data/deid\n/data/ablation\n/seen/\n")
    command(folder, "git", "init", "--quiet")
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    command(folder, "git", *identity, "commit", "--quiet", "--allow-empty", "--message", "start")
    for rank, steps in ((8, 50), (16, 60)):
        values = {"train_lora": {"rank": rank}, "train_deid": {"steps": steps}}
        (folder / "params.yaml").write_text(yaml.safe_dump(values))
        run_dvc(folder, "repro")
        commit(folder)
    return folder


@pytest.mark.slow
def test_metrics_and_params_of_two_commits_are_compared(repository: Path) -> None:
    found = json.loads(run_dvc(repository, "metrics", "diff", "HEAD~1", "HEAD", "--json"))
    changed = {file: set(values) for file, values in found.items()}
    assert changed == {"data/metrics/train_lora.json": {"loss"}, "data/metrics/train_deid.json": {"steps"}}
    assert found["data/metrics/train_lora.json"]["loss"] == {"old": 1 / 8, "new": 1 / 16, "diff": -1 / 16}
    everything = run_dvc(repository, "metrics", "diff", "HEAD~1", "HEAD", "--all")
    assert re.search(r"leakage.json\s+average.injected.rate", everything)
    params = json.loads(run_dvc(repository, "params", "diff", "HEAD~1", "HEAD", "--json"))
    assert params["params.yaml"]["train_lora.rank"] == {"old": 8, "new": 16, "diff": 8}


@pytest.mark.slow
def test_sheets_and_losses_of_two_commits_stand_on_one_page(repository: Path) -> None:
    said = run_dvc(repository, "plots", "diff", "HEAD~1", "HEAD", "--out", "seen")
    assert "failed" not in said
    page = (repository / "seen/index.html").read_text()
    pictures = set(re.findall(r'src="(static/[^"]+)"', page))
    for out in ("lora", "deid"):
        shown = [name for name in pictures if f"data_{out}_grids_step-000100.png" in name]
        assert len({(repository / "seen" / name).read_bytes() for name in shown}) == 2
    assert any(name.endswith("data_ablation_sweeps.svg") for name in pictures)
    specification = json.JSONDecoder().raw_decode(page[page.index('{"$schema"') :])[0]
    points = specification["data"]["values"]
    assert specification["title"]["text"] == "Losses of MedSem-DeID"
    assert {point["rev"] for point in points} == {"HEAD~1", "HEAD"}
    assert {point["filename::field"] for point in points} == {f"{name}.tsv::{name}" for name in LOSSES}
    steps = [int(point["step"]) for point in points if point["rev"] == "HEAD"]
    assert (min(steps), max(steps)) == (10, 60)


@pytest.mark.slow
def test_a_sweep_runs_without_remotes_and_each_run_can_be_compared(repository: Path) -> None:
    run_dvc(repository, "exp", "run", "--queue", "--set-param", "train_lora.rank=4,32")
    run_dvc(repository, "exp", "run", "--run-all")
    table = run_dvc(repository, "exp", "show", "--csv", "--only-changed")
    assert {"4", "32"} <= {cell for line in table.splitlines() for cell in line.split(",")}
    assert "Failed" not in table
    names = run_dvc(repository, "exp", "list", "--name-only").split()
    assert len(names) == 2
    found = json.loads(run_dvc(repository, "metrics", "diff", "HEAD", names[0], "--json"))
    assert found["data/metrics/train_lora.json"]["loss"]["new"] in (1 / 4, 1 / 32)
    refused = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "run", "--set-param", "train_lora.rnak=4"],
        cwd=repository, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode
    assert "rnak" in refused.stderr


@pytest.mark.slow
def test_in_the_real_project_a_changed_value_makes_its_stage_stale_and_no_other(tmp_path: Path) -> None:
    """In a copy of what git holds here, without data."""
    files = command(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command(tmp_path, "git", "init", "--quiet")
    commit(tmp_path)
    before = json.loads(run_dvc(tmp_path, "status", "--json"))
    params = (tmp_path / "params.yaml").read_text()
    changed = params.replace("num_strips: 4", "num_strips: 3")
    assert changed != params
    (tmp_path / "params.yaml").write_text(changed)
    after = json.loads(run_dvc(tmp_path, "status", "--json"))
    assert {stage for stage in after if after[stage] != before.get(stage)} == {"plan_sampling"}
    (told,) = (found["changed deps"] for found in after["plan_sampling"] if "changed deps" in found)
    assert told["params.yaml"] == {"plan_sampling": "modified"}
