"""The `mema` command, run as a person runs it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mema.project import doctor, headline

ROOT = Path(__file__).parents[2]


def mema(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from mema.cli import app; app()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def rate(leaked: int, n: int) -> dict[str, object]:
    return {"n": n, "leaked": leaked, "rate": leaked / n, "ci95": [0.01, 0.2]}


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A folder with the files that `mema table` reads."""
    arms = {"direct": rate(20, 100), "injected": rate(4, 100), "floor": rate(1, 100), "ceiling": rate(97, 100)}
    leakage = {
        "recognisers": {"arcface": arms},
        "average": arms,
        "screened": {"n": 104, "kept": 100, "rejected": 4, "reasons": {}},
    }
    pair = {"random": 0.31, "guided": 0.004}
    distribution = {"n": {"random": 100, "guided": 100}, "wasserstein": {"disease": pair, "age": pair, "gender": pair}}
    (tmp_path / "data/metrics").mkdir(parents=True)
    (tmp_path / "data/metrics/leakage.json").write_text(json.dumps(leakage))
    (tmp_path / "data/metrics/distribution.json").write_text(json.dumps(distribution))
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def test_help_names_the_commands() -> None:
    done = mema("--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("doctor", "status", "table"))


def test_the_command_imports_nothing_heavy_at_start() -> None:
    code = "import sys, mema.cli; print({'torch', 'dvc', 'pandas', 'prefect', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_table_shows_our_figures_beside_the_papers(measured: Path) -> None:
    done = mema("table", folder=measured)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "arcface" in line)
    assert re.split(r" {2,}", line.strip()) == [
        "arcface", "1.0 % [1.0, 20.0]", "20.0 % [1.0, 20.0]", "4.0 % [1.0, 20.0]", "97.0 % [1.0, 20.0]",
        "76.7 %", "1.0 %",
    ]  # fmt: skip
    assert "100 kept, 4 rejected" in done.stdout
    assert "No report yet: make demo" in done.stdout


def test_outside_a_checkout_it_says_where_to_go(tmp_path: Path) -> None:
    done = mema("status", folder=tmp_path)
    assert done.returncode != 0
    assert "no dvc.yaml here" in done.stderr


def test_an_arm_without_images_is_a_dash_and_not_a_zero() -> None:
    assert headline.rate({"n": 0, "leaked": 0, "rate": None, "ci95": None}) == "-"
    assert headline.rate(None) == "-"


def test_a_distance_may_carry_its_interval() -> None:
    assert headline.decimal({"value": None, "ci95": None, "n": 0}) == "-"
    assert headline.decimal({"value": 0.0123, "ci95": [0, 1]}) == headline.decimal(0.0123) == "0.012"


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(what: str) -> doctor.Finding:
        raise ValueError("sample.steps: too many")

    monkeypatch.setattr(doctor, "CHECKS", {"parameters": broken})
    (finding,) = doctor.examine()
    assert finding.found == "ValueError: sample.steps: too many"
    assert finding.remedy


def test_a_wrong_version_is_found_and_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('dependencies = [\n    "numpy",\n    "torch",\n]\n')
    (tmp_path / "constraints.txt").write_text("numpy==0.1\n")
    monkeypatch.chdir(tmp_path)
    finding = doctor._packages("packages")
    assert finding.found.startswith("numpy ")
    assert finding.found.endswith("(wanted 0.1)")
    assert finding.remedy == "make distclean setup"


def test_annotate_status_without_a_server_says_what_to_start(measured: Path) -> None:
    done = mema("annotate", "status", folder=measured)
    assert done.returncode != 0
    assert "make label-studio" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


COMMANDS = ("cli", "project.doctor", "project.fetch", "project.remotes")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_module_of_the_command_runs_or_refuses(name: str) -> None:
    """None ends with exit code 0 and nothing said."""
    command = [sys.executable, "-m", f"mema.{name}", *(["--help"] if name == "cli" else [])]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    if name == "cli":
        assert run.returncode == 0
        assert "audit" in run.stdout
    else:
        assert run.returncode == 1
        assert "run `mema " in run.stderr


def test_every_module_that_the_documents_start_has_a_start() -> None:
    texts = [(ROOT / path).read_text() for path in ("README.md", "dvc.yaml", "data/phantom/dvc.yaml", "Makefile")]
    texts += [path.read_text() for path in (ROOT / "docs").glob("*.md")]
    named = set(re.findall(r"-m ((?:tasks|flows|mema|phantom)\.[a-z0-9_.]*[a-z0-9_])", "\n".join(texts)))
    assert len(named) > 20
    missing = []
    for name in named:
        file = ROOT / (name.replace(".", "/") + ".py")
        if not file.exists() or 'if __name__ == "__main__":' not in file.read_text():
            missing.append(name)
    assert missing == []


def test_a_table_fits_the_80_columns_of_a_log_and_tells_its_n(measured: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mema.cli", "table"], cwd=measured, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}, timeout=120, check=True,
    )  # fmt: skip
    titles = [line for line in done.stdout.splitlines() if line.startswith("Table")]
    assert "; n: floor 100, direct 100, injected 100, ceiling 100" in titles[0]
    shown = [line for line in done.stdout.splitlines() if line not in titles and str(measured) not in line]
    assert max(map(len, shown)) <= 80
    assert "…" not in done.stdout
    assert re.search(r"^arcface\n  floor +1\.0 % \[1\.0, 20\.0\]\n", done.stdout, re.MULTILINE)


def test_a_mistake_is_one_line_and_exit_code_2(measured: Path) -> None:
    (measured / "params.yaml").write_text("sample: {num_imgs: 3}\n")
    done = mema("table", folder=measured)
    assert done.returncode == 2
    assert "error: params.yaml: " in done.stderr
    assert "Traceback" not in done.stderr


def test_programs_get_json(measured: Path) -> None:
    findings = json.loads(mema("doctor", "--json").stdout)
    assert {"what", "found", "remedy", "mark"} <= findings[0].keys()


def test_the_version_is_told_anywhere(tmp_path: Path) -> None:
    assert re.match(r"mema \d+\.\d+", mema("--version", folder=tmp_path).stdout)


def test_values_of_ones_own_are_not_written_over(measured: Path) -> None:
    shutil.copytree(ROOT / "profiles", measured / "profiles")
    params = measured / "params.yaml"
    assert mema("profile", "phantom", folder=measured).returncode == 0
    whole = params.read_text()
    params.write_text(whole.replace("num_patients: 24", "num_patients: 25"))
    refused = mema("profile", "paper", folder=measured)
    assert refused.returncode == 2
    assert "cohort.num_patients: 25, in the profile 24" in refused.stderr
    assert "* phantom" in mema("profile", folder=measured).stdout
    assert mema("profile", "phantom", "--force", folder=measured).returncode == 0
    assert params.read_text() == whole
