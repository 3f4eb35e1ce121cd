"""Stages of the benchmark whose code was edited give new figures, though all is there of the run before."""

import shutil
from pathlib import Path

import pytest

from tasks.deidentify import train_judges
from tests.toys.deid import toy_deidentifier
from tests.worlds import edited_project
from tests.worlds import judges as judges_world
from tests.worlds.deid import TWIN, write_deid_world

EDITS = {
    "deidentify": ("deidentify/deidentify", "_read = decode\ndecode = lambda data: 255 - _read(data)"),
    "evaluate_identity": (
        "works/measuring",
        "_load = Recognised.load\ndef _half(found):\n    found = found * (np.arange(found.shape[1]) % 2)\n"
        "    return found / np.linalg.norm(found, axis=1, keepdims=True)\n"
        "Recognised.load = lambda self: lambda images: "
        "{name: _half(found) for name, found in _load(self)(images).items()}",
    ),
    "evaluate_utility": (
        "deidentify/evaluate_utility",
        "_load = Looking.load\nLooking.load = lambda self: lambda images: "
        "{name: 3 * found for name, found in _load(self)(images).items()}",
    ),
    "evaluate_reversibility": (
        "deidentify/evaluate_reversibility",
        "_load = Returned.load\nReturned.load = lambda self: lambda *images: "
        "{name: found + (name == 'psnr') for name, found in _load(self)(*images).items()}",
    ),
}


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages from deidentify on find a toy MeMa, de-identifier and judges."""
    folder = edited_project.copy_code(tmp_path_factory.mktemp("project") / "whole")
    world = write_deid_world(folder)
    toy_deidentifier(folder / "data/deid")
    section = judges_world.section(judges_world.toy_pretrained(folder))
    train_judges.run(
        world.data / "mema", world.data / "mema_seg", folder / "data/judges", folder / "judges.json", section
    )
    methods = {"blur": {"use": "gaussian_blur", "options": {"sigma": 0.05}}, "medsem": {"use": "medsem"}}
    edited_project.set_params(
        folder,
        inputs={"recognisers": str(world.loss_recogniser.parent)},
        screen_identity={"recognisers": world.recognisers},
        deidentify={"methods": methods, "shard_rows": 4},
        evaluate_identity={"recognisers": world.recognisers, "num_folds": 4, "bootstrap": 20},
        train_deid={"loss_recogniser": str(world.loss_recogniser)},
        evaluate_utility={"bootstrap": 20},
        evaluate_reversibility={"bootstrap": 20, "classifier": str(TWIN)},
        generator={"path": str(folder / "data/deid")},
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage", ["deidentify", *(pytest.param(name, marks=pytest.mark.long) for name in EDITS if name != "deidentify")]
)
def test_an_edited_stage_makes_new_values(benchmark, tmp_path, stage):
    if stage != "deidentify" and not (benchmark / "data/deidentified").exists():
        edited_project.run(benchmark, "deidentify")
    folder = shutil.copytree(benchmark, tmp_path / "edited")
    before = edited_project.run(folder, stage)
    module, code = EDITS[stage]
    edited_project.edit(folder / f"tasks/{module}.py", code)
    after = edited_project.run(folder, stage)
    assert after != before
    shutil.rmtree(folder / ".scratch")
    assert edited_project.run(folder, stage) == after
