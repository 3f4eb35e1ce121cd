"""Every folder one kind: what a stranger may rely on when looking for something."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import grimp
import pytest

from models.diseases import DISEASES

ROOT = Path(__file__).parents[1]
MAX_FILES = 20
CODE = ("flows", "tasks", "models", "mema", "phantom", "benchmarks")
# A stage is called as its section of params.yaml has been from the first; it lies in a package and is run as a module.
SHADOWS = {"tasks/synthesize/select.py"}
# The words of hospitals change often and must not make every stage stale; the paper's figures are of its diseases.
NAMED = ("models/diseases.py", "models/records/vocabulary.py", "models/report/benchmark/paper.py", "phantom/drawing/")


def tracked(*folders: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(name) for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def test_no_folder_holds_more_than_a_screen_of_files():
    files = Counter(file.parent.as_posix() for file in tracked(*CODE, "tests", "profiles", "docs"))
    assert {folder: number for folder, number in files.items() if number > MAX_FILES} == {}


def test_no_file_has_the_name_of_a_module_of_pythons_own():
    found = {
        file.as_posix() for file in tracked(*CODE) if file.suffix == ".py" and file.stem in sys.stdlib_module_names
    }
    assert found == SHADOWS


def test_no_file_is_called_after_nothing():
    vague = {"utils", "util", "helpers", "common", "misc", "base", "core"}
    assert [file for file in tracked(*CODE, "tests") if file.stem in vague and file.suffix == ".py"] == []


def test_a_disease_is_named_in_its_row_its_drawing_and_its_words():
    key = re.compile("|".join(rf"[\"']{name}[\"']" for name in DISEASES if name != "normal"))
    files = [file for file in tracked(*CODE) if file.suffix == ".py" and file.parts[0] != "benchmarks"]
    named = {file.as_posix() for file in files if key.search((ROOT / file).read_text())}
    assert {name for name in named if not name.startswith(NAMED)} == set()


@pytest.mark.parametrize("flow", ["synthesize", "annotate", "deidentify"])
def test_what_two_flows_share_travels_in_works(flow):
    graph = grimp.build_graph("tasks", cache_dir=None)
    others = {name for name in ("synthesize", "annotate", "deidentify", "works") if name != flow}
    found = {
        (importer, module)
        for module in graph.find_descendants(f"tasks.{flow}")
        for importer in graph.find_modules_that_directly_import(module)
        if importer.split(".")[1] in others
    }
    assert found == set()
