"""Log lines: words or JSON, every line of a stage, and nobody's name in any of them."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from mema.runtime import logs, shards
from phantom.drawing import render, sample_phantom, sample_shot
from tests.worlds.profiles import profile_values
from tests.worlds.report import RNG

ROOT = Path(__file__).parents[3]
SCRIPT = """
import logging, os, sys, time, warnings
from tqdm import trange
from tqdm.auto import tqdm as auto
from mema.runtime import logs, stage

def main(how: str) -> None:
    logging.getLogger("tasks.x").info("half %s", "way", extra=logs.fields(done=5))
    warnings.warn("careful\\nnow")
    with logs.progress(10, "images", initial=2) as bar:
        for _ in range(8):
            bar.update(1)
    for _ in auto(range(3), desc="a library's", leave=False):
        pass
    for _ in trange(30, desc="steps", mininterval=0):
        time.sleep(0.01)
    print("stray", file=sys.stderr)
    sys.stderr.write("drawn over\\rlast, without an end")
    if how == "user":
        raise ValueError("train_lora.rank: lower it")
    if how == "bug":
        raise RuntimeError("broken")
    if how == "disk":
        raise OSError(28, os.strerror(28), "shard")

logs.EVERY_SECONDS = float(os.environ.get("EVERY", "10"))
stage.start(main)
"""
NUMBER = "7704182"  # no time of day and no count has these digits
HEADER = "patient_id,visit_date,eye,diagnosis,age,sex,consent,file"


def run(tmp_path: Path, how: str = "well", **environment: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), how]
    env = {**os.environ, "PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def events(text: str) -> list[dict]:
    """Parse every line: one that is no JSON fails here."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(set(event) >= {"time", "level", "logger", "message"} for event in found)
    return found


def test_in_json_every_line_is_one_event(tmp_path: Path) -> None:
    done = run(tmp_path, MEMA_LOG="json")
    assert done.returncode == 0
    found = events(done.stderr)
    assert found[0] == found[0] | {"level": "info", "logger": "tasks.x", "message": "half way", "done": 5}
    told = [(event["logger"], event["message"]) for event in found]
    assert told == [
        ("tasks.x", "half way"), ("py.warnings", "UserWarning: careful\nnow"), ("progress", "images"),
        ("progress", "steps"), ("stderr", "stray"), ("stderr", "last, without an end"),
    ]  # fmt: skip
    assert found[2] == found[2] | {"done": 10, "total": 10, "unit": "images"}


def test_a_long_bar_tells_now_and_then_how_far_it_is(tmp_path: Path) -> None:
    steps = [e for e in events(run(tmp_path, MEMA_LOG="json", EVERY="0.1").stderr) if e["message"] == "steps"]
    assert 2 <= len(steps) <= 29  # a slow machine tells more often
    done = [event["done"] for event in steps]
    assert done == sorted(done)
    assert done[-1] == 30
    assert all(event["total"] == 30 for event in steps)


@pytest.mark.parametrize(
    ("how", "told"),
    [("user", "train_lora.rank: lower it"), ("bug", "RuntimeError: broken"), ("disk", "shard: no space left")],
)
def test_in_json_an_error_is_an_event_too(tmp_path: Path, how: str, told: str) -> None:
    done = run(tmp_path, how, MEMA_LOG="json")
    assert done.returncode == 1
    assert any(told in event["message"] for event in events(done.stderr))
    assert ("Traceback" in done.stderr) == (how == "bug")


def test_an_uncaught_error_is_one_event_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    monkeypatch.setattr(logs.log, "handlers", [handler])
    monkeypatch.setattr(logs.log, "propagate", False)
    try:
        raise KeyError("broken")
    except KeyError as error:
        logs.uncaught(type(error), error, error.__traceback__)
    (event,) = events(stream.getvalue())
    assert (event["level"], event["message"]) == ("critical", "KeyError: 'broken'")
    assert event["error"].startswith("Traceback (most recent call last):")


def test_in_words_bars_are_drawn_and_nothing_is_json(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert "half way\n" in done.stderr
    assert "images: 100%|" in done.stderr
    assert "{" not in done.stderr


def test_an_unknown_form_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, MEMA_LOG="xml")
    assert done.returncode == 1
    assert done.stderr == "MEMA_LOG: 'xml'; allowed: text, json\n"


def hospital(folder: Path) -> list[str]:
    """Write photos and records whose every name is a patient's; return the names that no log may hold."""
    photos = folder / "raw/photos"
    photos.mkdir(parents=True)
    people = ["Huber_Anna", "Maier_Ludwig", "Schütz_Eva", "Vogl_Franz", "Weiß_Karl", "Zeidler_Ida", "Lang_Rosa"]
    rows = []
    for k, name in enumerate(people):
        image = Image.fromarray(render(sample_phantom(RNG), sample_shot(RNG)).image).resize((128, 128))
        image.save(photos / f"{name}.png")
        rows.append(f"MRN-{NUMBER}{k}-{name},2020-01-02,right,ptosis,4{k},F,yes,photos/{name}.png")
    (photos / "Vogl_Franz.png").write_bytes(b"no picture")
    Image.fromarray(render(sample_phantom(RNG), sample_shot(RNG)).image).resize((9, 9)).save(photos / "Lang_Rosa.png")
    (photos / "Unbekannt_Theo.png").write_bytes((photos / "Huber_Anna.png").read_bytes())
    rows[4] = rows[4].replace("yes", "no")
    rows[5] = rows[5].replace("photos/Zeidler_Ida", "photos/../../Zeidler_Ida")
    rows.append(f"MRN-{NUMBER}9-Nirgends_Max,2020-01-02,left,grumbling,41,M,yes,photos/Nirgends_Max.png")
    (folder / "raw/records.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    parts = {word for name in [*people, "Unbekannt_Theo", "Nirgends_Max"] for word in name.split("_")}
    return sorted(parts | {"MRN", NUMBER})


@pytest.mark.slow
@pytest.mark.parametrize("form", logs.FORMATS)
def test_no_line_of_the_ingest_names_a_patient_or_a_file(tmp_path: Path, form: str) -> None:
    names = hospital(tmp_path)
    params = profile_values()
    params["ingest_patients"] |= {"min_size_px": 32, "shard_rows": 2}
    for section in ("ingest_patients", "ingest_public", "train_deid"):
        params[section]["image_size_px"] = 64
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    words = ["--source", "raw", "--faces", "faces", "--quarantine", "q.parquet", "--metrics", "m.json"]
    command = [sys.executable, "-X", "dev", "-m", "tasks.synthesize.ingest_patients", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MEMA_LOG": form}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert metrics["kept"] == 3
    assert len(metrics["reasons"]) >= 5
    quarantined = shards.read_table(tmp_path / "q.parquet")["file"].to_pylist()
    assert any("Vogl_Franz" in file for file in quarantined)  # names are where they belong
    said = done.stdout + done.stderr + (tmp_path / "m.json").read_text()
    assert [name for name in names if name in said] == []
    if form == "json":
        assert [e["done"] for e in events(done.stderr) if e["logger"] == "progress"]
    else:
        assert "100%" in done.stderr
