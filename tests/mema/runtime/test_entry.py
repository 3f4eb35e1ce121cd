"""Unfinished work has another name if, and only if, a dep or a param of its stage's entry is another."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from mema.runtime import durable, entry

ROOT = entry.ROOT
STAGES = {name: file for file in entry.FILES for name in yaml.safe_load((ROOT / file).read_text())["stages"]}
PARAMS = ("params.yaml", "data/phantom/params.yaml")
LOADER, DUMPER = (getattr(yaml, f"C{name}", getattr(yaml, name)) for name in ("SafeLoader", "SafeDumper"))


@pytest.fixture
def project(tmp_path, monkeypatch) -> Iterator[Path]:
    """A project with the stages and parameters of this one, and nothing else yet."""
    for name in (*entry.FILES, *PARAMS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for package in entry.PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    monkeypatch.setattr(entry, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    entry._loaded.cache_clear()


def named(stage: str) -> str:
    """Return the fingerprint that a new process would find."""
    entry._loaded.cache_clear()
    return entry.fingerprint(stage)


def found(stage: str) -> entry.Entry:
    entries = entry.find(stage)
    assert entries is not None
    return entries


def fill(path: Path) -> Path:
    """Put a file where a dep is to be, within a folder where the name has no ending; return the file."""
    file = path if path.suffix else path / "deep/inside.bin"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"before")
    return file


def changed(value: object) -> object:
    """Return nested values with one leaf of another value."""
    if isinstance(value, dict) and value:
        name = sorted(value)[-1]
        return value | {name: changed(value[name])}
    return [*value, 1] if isinstance(value, list) else f"{value}1" if isinstance(value, str) else 12345


def at(values: dict, name: str, change: Callable[[object], object]) -> dict:
    """Return nested values with the one at a dotted name changed."""
    first, _, rest = name.partition(".")
    return values | {first: at(values[first], rest, change) if rest else change(values[first])}


@pytest.mark.parametrize("stage", STAGES)
def test_a_changed_dep_is_seen_and_nothing_else(project, stage):
    entries = found(stage)
    files = [fill(path) for path in (*entries.code.values(), *entries.inputs.values())]
    before = named(stage)
    for file in files:
        file.write_bytes(b"behind")  # as many bytes
        os.utime(file, (1, 1))
        assert named(stage) != before, file
        file.write_bytes(b"before")
        assert named(stage) == before
        file.unlink()
        assert named(stage) != before, file
        file.write_bytes(b"before")
    deps = [*entries.code.values(), *(project / path for path in entries.inputs.values())]
    others = [project / name for name in ("tasks/nobody.py", "models/report/nobody.py", "data/elsewhere/x.bin")]
    for other in others:
        if not any(other.is_relative_to(dep) for dep in deps):
            fill(other)
    (project / "models/__pycache__").mkdir(exist_ok=True)
    assert named(stage) == before


@pytest.mark.parametrize("stage", STAGES)
def test_a_changed_param_is_seen_and_nothing_else(project, stage):
    before, followed = named(stage), {tuple(name.split(":")) for name in found(stage).params}
    text = (ROOT / STAGES[stage]).read_text()
    for file in PARAMS:
        values = yaml.load((project / file).read_text(), LOADER)
        names = {name for place, name in followed if place == file}
        for name in names:
            (project / file).write_text(yaml.dump(at(values, name, changed), Dumper=DUMPER))
            assert named(stage) != before, name
        for name in values:
            related = {other for other in names if other.split(".")[0] == name}
            if not related and f"${{{name}" not in text:
                (project / file).write_text(yaml.dump(at(values, name, changed), Dumper=DUMPER))
                assert named(stage) == before, name
        (project / file).write_text(yaml.safe_dump(values, sort_keys=True))  # another order
        assert named(stage) == before


def test_deps_and_params_are_those_that_dvc_sees():
    seen = {stage.name: stage for stage in Repo(str(ROOT)).index.stages}
    assert seen.keys() == STAGES.keys()
    for name, stage in seen.items():
        entries = found(name)
        paths = [str(dep) for dep in stage.deps if not getattr(dep, "params", None)]
        assert sorted(str(Path(path)) for path in paths) == sorted(
            str(Path(p)) for p in (*entries.code, *entries.inputs)
        )
        params = [f"{dep.def_path}:{p}" for dep in stage.deps for p in getattr(dep, "params", None) or ()]
        assert sorted(params) == sorted(entries.params)


def test_what_a_call_adds_counts(project):
    given = fill(project / "given.bin")
    first = entry.fingerprint("sample", given, rows=[1, 2])
    assert entry.fingerprint("sample", given, rows=[1, 2]) == first
    assert len({first, entry.fingerprint("sample", given, rows=[1, 3]), entry.fingerprint("sample", rows=[1, 2])}) == 3
    given.write_bytes(b"behind")
    assert entry.fingerprint("sample", given, rows=[1, 2]) != first


def test_a_stage_without_an_entry_is_an_error(project):
    with pytest.raises(ValueError, match=r"nobody: no stage of that name in dvc\.yaml or data/phantom/dvc\.yaml"):
        entry.fingerprint("nobody")


def test_code_counts_as_it_was_loaded(project):
    code = fill(project / "tasks/synthesize/sample.py")
    first, held = entry.fingerprint("sample"), entry.hold("sample")
    entry.check_unchanged("sample", held)
    code.write_bytes(b"edited")
    assert entry.fingerprint("sample") == first  # what runs is the old code
    with pytest.raises(ValueError, match=r"sample: its code or its params changed while it ran.*run it again"):
        entry.check_unchanged("sample", held)
    assert named("sample") != first


def test_params_that_change_while_a_stage_runs_are_an_error(project):
    held, values = entry.hold("sample"), yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(at(values, "select.num_images", changed)))
    entry.check_unchanged("sample", held)
    Path("params.yaml").write_text(yaml.safe_dump(at(values, "sample.shard_rows", changed)))
    with pytest.raises(ValueError, match="params changed while it ran"):
        entry.check_unchanged("sample", held)


class Stranger:
    """Does a stage's work and lies in none of its deps."""


def test_work_of_code_that_no_dep_holds_is_never_taken_up(project, caplog):
    names = {entry.fingerprint("deidentify", by=Stranger) for _ in range(3)}
    assert len(names) == 3
    assert "Stranger lies in none of its deps" in caplog.text
    stages = yaml.safe_load(Path("dvc.yaml").read_text())
    stages["stages"]["deidentify"]["deps"].append(str(Path(__file__).parent))
    Path("dvc.yaml").write_text(yaml.safe_dump(stages))
    assert len({entry.fingerprint("deidentify", by=Stranger) for _ in range(3)}) == 1


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside/photos"
    inside.mkdir()
    photo = fill(outside)
    for name, target in (("photos", outside), ("one", photo), ("all", tmp_path), ("self", inside / "self")):
        (inside / name).symlink_to(target)
    (outside / "back").symlink_to(inside)
    first = durable.fingerprint(inside)
    assert durable.fingerprint(inside) == first
    photo.write_bytes(b"behind")
    assert durable.fingerprint(inside) != first
    link = tmp_path / "link"
    link.symlink_to(outside)
    second = durable.fingerprint(link)
    photo.write_bytes(b"before")
    assert durable.fingerprint(link) != second


def test_a_file_is_read_again_when_it_was_written_again(tmp_path):
    file, stale = tmp_path / "weights.bin", 0
    for index in range(300):  # many within one tick of the file system's clock
        before = durable.fingerprint(file)
        file.write_bytes(index.to_bytes(4, "big"))
        stale += durable.fingerprint(file) == before
    assert stale == 0
    old = file.stat().st_mtime - 1000
    os.utime(file, (old, old))
    before = durable.fingerprint(file)
    file.write_bytes(b"evil")
    os.utime(file, (old, old))  # the size and the time of before
    assert durable.fingerprint(file) != before


def test_a_file_at_rest_is_read_once(tmp_path, monkeypatch):
    file = fill(tmp_path / "large.bin")
    monkeypatch.setattr(durable, "AT_REST_SECONDS", -1)
    reads, digest = [], durable.hashlib.file_digest
    monkeypatch.setattr(durable.hashlib, "file_digest", lambda *args: (reads.append(1), digest(*args))[1])
    assert durable.fingerprint(file) == durable.fingerprint(file)
    assert len(reads) == 1
