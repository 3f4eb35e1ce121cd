"""The page from a constructed world: what it shows, what it never shows, and what it says either way."""

import base64
import re
from pathlib import Path

import pytest

from mema.params import Params
from mema.project import graph
from mema.runtime import durable, shards
from models.images import decode, image_id
from models.report.dataset.page import CONTENTS
from tasks.synthesize import report
from tests.worlds.profiles import profile_values
from tests.worlds.report import NAMES, build, distribution, leakage, recheck, write_metrics

ROOT = Path(__file__).parents[3]
URI = re.compile(r'"data:image/\w+;base64,([^"]+)"')


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    build(root)
    return root


def page_of(world: Path, out: Path, profile: str = "phantom", show: bool = True, title: str = "T") -> str:
    document = profile_values()
    document |= {"profile": profile, "report": {"show_patients": show, "title": title}}
    if profile != "phantom":
        document["release_key"] = {"path": "data/hospital/keys/release.key"}
    document["inputs"]["recognisers"] = str(world)
    document["screen_identity"]["recognisers"] = {name: str(world / f"{name}.onnx") for name in NAMES}
    document["evaluate_identity"]["recognisers"] = document["screen_identity"]["recognisers"]
    report.run(world / "data", out / "index.html", Params.model_validate(document))
    return (out / "index.html").read_text()


def shown(page: str) -> set[str]:
    """Return the pixels of every picture in the page, as image ids."""
    return {image_id(decode(base64.b64decode(data))) for data in URI.findall(page)}


def ids_in(world: Path, folder: str) -> set[str]:
    return set(shards.read_table(world / "data" / folder, columns=["image_id"])["image_id"].to_pylist())


def test_every_section_stands_once_and_holds_its_pictures(world: Path, tmp_path: Path) -> None:
    page = page_of(world, tmp_path)
    assert re.findall(r'<section id="(\w+)"', page) == list(CONTENTS)
    assert ids_in(world, "selected") <= shown(page)
    assert ids_in(world, "screened/kept") <= shown(page)
    assert page.count(">none</span>") == 1  # the one condition that nothing was made of
    assert '<div class="withheld">' not in page
    assert shown(page) & ids_in(world, "patients/faces")
    assert len(shown(page) & ids_in(world, "screened/rejected")) == 5  # the nearest


def test_the_page_is_self_contained_and_small(world: Path, tmp_path: Path) -> None:
    page = URI.sub('""', page_of(world, tmp_path))
    assert not re.search(r"https?:|//|<script|<link|@import|url\(|<iframe", page)
    assert all(source == "" for source in re.findall(r'src="([^"]*)"', page))
    assert (tmp_path / "index.html").stat().st_size < 6e6


@pytest.mark.parametrize("profile", ["phantom", "photos", "paper"])
def test_without_show_patients_no_patient_and_no_reject_is_seen(world: Path, tmp_path: Path, profile: str) -> None:
    page = page_of(world, tmp_path, profile, show=False)
    for folder in ("patients/faces", "screened/rejected"):
        table = shards.read_table(world / "data" / folder, columns=["image_id", "image"])
        assert not shown(page) & set(table["image_id"].to_pylist())
        assert not [i for i in table["image"].to_pylist() if base64.b64encode(i).decode()[:4000] in page]
    assert page.count('<div class="withheld">withheld: resembles a patient</div>') == 2
    assert "Pictures are withheld here" in page


def test_nobody_is_named_and_no_image_identified(world: Path, tmp_path: Path) -> None:
    page = URI.sub('""', page_of(world, tmp_path))
    assert "secret-" not in page
    every = set.union(*(ids_in(world, f) for f in ("patients/faces", "public/faces", "selected")))
    assert not [image_id for image_id in every if image_id[:8] in page]


@pytest.mark.parametrize("profile", ["photos", "paper"])
def test_real_patients_are_never_shown(world: Path, tmp_path: Path, profile: str) -> None:
    with pytest.raises(ValueError, match=rf"report\.show_patients: true in profile {profile}.*set it to false"):
        page_of(world, tmp_path, profile)
    assert not (tmp_path / "index.html").exists()


def test_equal_inputs_give_equal_bytes_however_long_the_stages_took(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a demo leaves a changed dvc.lock."""
    monkeypatch.setattr(shards, "SCRATCH", tmp_path)
    pages = []
    for seconds in (2.125, 77.375):
        for name in graph.stages("synthesize", ROOT / "dvc.yaml"):
            durable.write_json(tmp_path / f"timings/{name}.json", {"seconds": seconds, "images": 31})
        pages.append(page_of(world, tmp_path / str(seconds)))
    assert pages[0] == pages[1]
    assert "2.1 s" not in pages[0]


def test_either_outcome_is_told(world: Path, tmp_path: Path) -> None:
    assert "The donor&#x27;s face hides the patient" in page_of(world, tmp_path)
    try:
        write_metrics(world / "data", leakage=leakage(2, 3), distribution=distribution(guided=0.3))
        page = page_of(world, tmp_path)
    finally:
        write_metrics(world / "data")
    assert "Not shown at this scale" in page
    assert "hides the patient:" not in page
    assert page.count("does not stand apart from the floor") == len(NAMES)
    assert page.count("is no nearer to the patients than random") == 3


def header(page: str) -> str:
    return page[page.index("<header>") : page.index("</header>")]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (recheck(), "No more recognised than strangers: of 200 released faces, stranger, which did not screen"),
        (recheck(released=40), "Patients are recognised: of 200 released faces, stranger"),
        (recheck(released=20), "Not shown with so few faces that strangers are recognised as often: of 200"),
        (recheck(seen=20), "Cannot be told, for the judge may be blind"),
        (recheck(released=0, n=0), "Cannot be told: stranger had no image"),
    ],
)
def test_the_headline_is_the_judge_that_did_not_screen(world: Path, tmp_path: Path, found: dict, words: str) -> None:
    try:
        write_metrics(world / "data", recheck_identity=found)
        top = header(page_of(world, tmp_path))
    finally:
        write_metrics(world / "data")
    assert words in top
    assert "0 by construction, because these removed them" in top
    assert ('class="verdict shown"' in top) == words.startswith("No more")


def test_the_worst_recogniser_is_told_and_no_mean(world: Path, tmp_path: Path) -> None:
    uneven = leakage(30, 3)
    uneven["recognisers"]["cosface"] = leakage(30, 22)["recognisers"]["cosface"]
    try:
        write_metrics(world / "data", leakage=uneven)
        page = page_of(world, tmp_path)
    finally:
        write_metrics(world / "data")
    assert "<b>11.0\u00a0%</b><span>recognised before the screen</span>" in header(page)
    assert "worst: cosface" in header(page)
    assert "by cosface, which finds most" in page


def test_neighbours_are_of_the_released_set(world: Path, tmp_path: Path) -> None:
    page = page_of(world, tmp_path)
    start = page.index("Released: the nearest of the released set")
    shown_there = shown(page[start : page.index("Rejected: the nearest of all")])
    assert len(shown_there & ids_in(world, "selected")) == 5
    assert shown_there <= ids_in(world, "selected") | ids_in(world, "patients/faces")


def test_a_selected_face_above_a_threshold_forbids_the_release(world: Path, tmp_path: Path) -> None:
    strict = leakage(30, 3)
    strict["recognisers"]["cosface"]["threshold"] = 0.385
    try:
        write_metrics(world / "data", leakage=strict)
        page = page_of(world, tmp_path)
    finally:
        write_metrics(world / "data")
    assert "Do not release: 2 of 21 selected faces" in page


def test_text_from_outside_is_escaped(world: Path, tmp_path: Path) -> None:
    page = page_of(world, tmp_path, title="<script>x</script>")
    assert "<script>" not in page
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page


def test_a_disease_that_nobody_judged_says_why(world: Path, tmp_path: Path) -> None:
    try:
        write_metrics(world / "data", legibility={"judged": False, "why": "photographs"})
        assert "Not judged: photographs." in page_of(world, tmp_path)
    finally:
        write_metrics(world / "data")


@pytest.mark.parametrize(
    ("missing", "stage"),
    [("leakage", "screen_identity"), ("distribution", "select"), ("ingest_public", "ingest_public")],
)
def test_a_missing_input_names_the_stage_that_makes_it(world: Path, tmp_path: Path, missing: str, stage: str) -> None:
    (world / f"data/metrics/{missing}.json").unlink()
    try:
        with pytest.raises(ValueError, match=rf"{missing}\.json: not found; .*dvc repro {stage}"):
            page_of(world, tmp_path)
    finally:
        write_metrics(world / "data")
