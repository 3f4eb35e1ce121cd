"""Where simulated readers stand in, and where people's answers would go nowhere: who says so, and when."""

from pathlib import Path

import pytest

from mema import params
from mema.params import load
from mema.project import doctor, simulated

PHANTOMS = "data/phantom/readers"


def pulled(folder: Path) -> Path:
    folder.mkdir()
    (folder / "export-reader_1.json").write_text("[]")
    return folder


def accounts(root: Path) -> Path:
    root.mkdir()
    (root / "accounts.json").write_text("{}")
    return root


def test_simulated_readers_are_named_with_the_switch(tmp_path: Path) -> None:
    (line,) = simulated.warnings(PHANTOMS, tmp_path / "root", tmp_path / "out")
    assert line == (
        "simulated readers stand in (data/phantom/readers); Label Studio is not asked: "
        "set inputs.annotations: data/label_studio in params.yaml"
    )


def test_answers_and_accounts_that_go_nowhere_are_told(tmp_path: Path) -> None:
    root, out = accounts(tmp_path / "root"), pulled(tmp_path / "out")
    lines = simulated.warnings(PHANTOMS, root, out)
    assert lines[1].startswith("answers of 1 readers were pulled and readers have accounts, but")
    assert simulated.warnings(PHANTOMS, root, tmp_path / "none")[1].startswith("readers have accounts, but")


def test_label_studio_s_answers_are_silent_once_they_are_there(tmp_path: Path) -> None:
    (line,) = simulated.warnings(simulated.LABEL_STUDIO, tmp_path / "root", tmp_path / "none")
    assert "nothing was pulled yet" in line
    assert simulated.warnings(simulated.LABEL_STUDIO, tmp_path / "root", pulled(tmp_path / "out")) == []


@pytest.mark.parametrize("annotations", [PHANTOMS, simulated.LABEL_STUDIO])
@pytest.mark.parametrize("there", [False, True])
def test_doctor_says_whose_answers_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, annotations: str, there: bool
) -> None:
    document = load(Path(__file__).parents[3] / "params.yaml")
    chosen = document.model_copy(update={"inputs": document.inputs.model_copy(update={"annotations": annotations})})
    monkeypatch.setattr(params, "load", lambda: chosen)
    monkeypatch.chdir(tmp_path)
    if there:
        Path("data").mkdir()
        pulled(Path(simulated.LABEL_STUDIO))
        accounts(Path(".label_studio"))
    finding = doctor.CHECKS["readers"]("readers")
    assert finding.fatal is False
    assert finding.found.startswith("simulated") == (annotations == PHANTOMS)
    people_unheard = annotations == PHANTOMS and there
    nobody_yet = annotations == simulated.LABEL_STUDIO and not there
    assert bool(finding.remedy) == (people_unheard or nobody_yet)
    assert ("goes nowhere" in finding.remedy) == people_unheard
