"""Two remotes: what goes where, what never leaves, and pushes that fail closed."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml

from mema.project import dvc, remote_places, remotes
from models.images import decode, encode_png
from models.report.pictures import data_uri
from tests.worlds.remotes import ROOT, Secrets, graph, html_of, outs, pictures_in, words_in, write_world

pytestmark = pytest.mark.slow  # each starts DVC several times

COPY = """
import shutil, sys
from pathlib import Path
for name in sys.argv[1:]:
    source, out = Path("made", name), Path(name)
    out.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, out)
"""
CACHED = {path: options["remote"] for path, options in outs("outs").items() if options.get("cache", True)}


def command(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_dvc(folder: Path, *words: str) -> str:
    return command(folder, sys.executable, "-m", "dvc", *words)


def scaled_down() -> dict[str, dict]:
    """The project's stages with all cached outputs, each copied from `made`, in the project's order."""
    stages: dict[str, dict] = {}
    for name, stage in (graph("data/phantom/dvc.yaml") | graph("dvc.yaml")).items():
        kept = [out for out in stage.get("outs", []) if set(out) & set(CACHED)]
        if kept:
            paths = [path for out in kept for path in out]
            deps = [dep for dep in stage["deps"] if any(Path(dep).is_relative_to(out) for out in CACHED)]
            stages[name] = {"cmd": f"python copy_outs.py {' '.join(paths)}", "deps": deps, "outs": kept}
    return stages


def init(folder: Path) -> Path:
    """Make an empty project with the real one's DVC configuration."""
    (folder / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    command(folder, "git", "init", "--quiet")
    return folder


def set_up(folder: Path, **places: Path) -> None:
    for name, place in places.items():
        run_dvc(folder, "remote", "add", "--local", "--force", name, str(place))


def commit(folder: Path) -> None:
    command(folder, "git", "add", "--all")
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    command(folder, "git", *identity, "commit", "--quiet", "--message", "state")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scaled-down project after a run and a push; its remotes are the folders beside it."""
    folder = init(tmp_path_factory.mktemp("remotes") / "project")
    write_world(folder / "made/data")
    (folder / "copy_outs.py").write_text(COPY)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": scaled_down()}, sort_keys=False))
    (folder / ".gitignore").write_text("/made/\n/data/\n")
    (folder / ".dvcignore").write_text("/made/\n")
    dvc.reproduce("report", lambda line: None, folder)
    run_dvc(folder, "repro")
    commit(folder)
    set_up(folder, restricted=folder.parent / "restricted", public=folder.parent / "public")
    remotes.push(lambda line: None, folder)
    return folder


@pytest.fixture(scope="module")
def secrets(project: Path) -> Secrets:
    names = [path.removeprefix("data/") for path, remote in CACHED.items() if remote == remotes.RESTRICTED]
    return Secrets.of(project / "data", names)


def objects(remote: Path) -> dict[str, bytes]:
    """Return every file of a remote by its digest."""
    return {f.parent.name + f.name: f.read_bytes() for f in remote.rglob("*") if f.is_file()}


def files_of(project: Path, remote: str) -> dict[str, bytes]:
    """Return the digests and contents of the files of a remote's outputs."""
    places = [project / path for path, named in CACHED.items() if named == remote]
    found = [f for p in places for f in ([p] if p.is_file() else p.rglob("*")) if f.is_file()]
    return {hashlib.md5(f.read_bytes()).hexdigest(): f.read_bytes() for f in found}


@pytest.mark.slow
def test_every_output_of_the_real_graph_is_pushed_and_only_to_its_own_remote(project: Path) -> None:
    assert set(remotes.NAMES) == set(CACHED.values())
    for name, other in (remotes.NAMES, remotes.NAMES[::-1]):
        pushed, own = objects(project.parent / name), files_of(project, name)
        listings = {digest for digest in pushed if digest.endswith(".dir")}
        assert set(pushed) - listings == set(own)
        assert len(listings) == sum((project / p).is_dir() for p, named in CACHED.items() if named == name)
        assert not set(own) & set(files_of(project, other))
    assert {path.name for path in project.parent.glob("*/*")} >= {"files"}
    assert not list(project.parent.glob("*/runs"))  # the run cache stays at home


@pytest.mark.slow
def test_nothing_in_the_public_remote_tells_of_what_is_restricted(project: Path, secrets: Secrets) -> None:
    public = objects(project.parent / "public")
    assert {digest: told for digest, content in public.items() if (told := secrets.told_by(content))} == {}
    assert sum(len(list(pictures_in(content))) for content in public.values()) > 300  # it did look
    assert any(b"adjudicated" in words_in(c) or b"decided_by" in words_in(c) for c in public.values())


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p, remote in CACHED.items() if remote == remotes.RESTRICTED])
def test_a_restricted_output_in_the_public_remote_would_be_noticed(path: str, project: Path, secrets: Secrets) -> None:
    out = project / path
    files = [out] if out.is_file() else [file for file in out.rglob("*") if file.is_file()]
    assert all(secrets.told_by(file.read_bytes()) for file in files)


@pytest.mark.slow
def test_a_patient_is_noticed_in_any_wrapping(project: Path, secrets: Secrets) -> None:
    photo = next((project / "data/phantom/cohort/hospital").rglob("*.png")).read_bytes()
    large = html_of([photo]).replace(b"png", b"jpeg")
    assert "shows 1 pictures" in secrets.told_by(html_of([photo]))
    assert secrets.told_by(b"left" + photo + b"right")[0].startswith("holds the bytes of ")
    assert "shows 1 pictures" in secrets.told_by(large)
    shrunk = as_jpeg(photo)
    assert photo not in shrunk
    assert secrets.told_by(shrunk) == ["shows 1 pictures"]
    assert secrets.told_by(b"by dr_beispiel") == ["names somebody"]
    released = next((project / "data/mema").rglob("*.parquet")).read_bytes()
    assert secrets.told_by(released) == []


def as_jpeg(photo: bytes) -> bytes:
    """A page that shows a photo as the project's pages show large ones: as a JPEG."""
    wide = cv2.resize(decode(photo), (300, 300), interpolation=cv2.INTER_LINEAR)
    return f'<img src="{data_uri(encode_png(wide))}">'.encode()


@pytest.mark.slow
def test_a_clone_gets_what_a_stage_needs_and_then_runs_nothing(project: Path, tmp_path: Path) -> None:
    clone = cloned(project, tmp_path)
    remotes.pull("sample", lambda line: None, clone)
    assert (clone / "data/lora").is_dir()
    assert not (clone / "data/deidentified").exists()
    lines: list[str] = []
    dvc.reproduce("sample", lines.append, clone)
    assert not [line for line in lines if line.startswith("Running stage")]
    remotes.pull(log=lambda line: None, folder=clone)
    assert all((clone / path).exists() for path in CACHED)
    for name in remotes.NAMES:
        assert files_of(clone, name) == files_of(project, name)


@pytest.mark.slow
def test_a_commit_that_was_never_pushed_says_so(project: Path, tmp_path: Path) -> None:
    clone = cloned(project, tmp_path)
    set_up(clone, restricted=tmp_path / "empty", public=tmp_path / "empty too")
    with pytest.raises(RuntimeError, match="was never pushed: run `mema push` where it was made"):
        remotes.pull("sample", lambda line: None, clone)


def cloned(project: Path, folder: Path) -> Path:
    command(folder, "git", "clone", "--quiet", str(project), "clone")
    set_up(folder / "clone", **{name: project.parent / name for name in remotes.NAMES})
    return folder / "clone"


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A project of one restricted and one public output, with nothing set up."""
    folder = init(tmp_path / "toy")
    stage = {
        "cmd": "mkdir -p data && echo r > data/r && echo p > data/mema",
        "outs": [{"data/r": {"remote": "restricted"}}, {"data/mema": {"remote": "public"}}],
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    run_dvc(folder, "repro")
    return folder


def test_without_remotes_nothing_is_set_up_and_a_push_says_what_to_do(toy: Path) -> None:
    assert not remotes.configured(toy)
    with pytest.raises(RuntimeError, match="neither is set up; dvc remote add --local restricted"):
        remotes.push(folder=toy)
    with pytest.raises(RuntimeError, match="neither is set up"):
        remotes.pull("make", folder=toy)


@pytest.mark.parametrize(("there", "missing"), [remotes.NAMES, remotes.NAMES[::-1]])
def test_one_remote_alone_gets_nothing(toy: Path, there: str, missing: str) -> None:
    set_up(toy, **{there: toy.parent / there})
    with pytest.raises(RuntimeError, match=f"'{missing}': not set up.*dvc remote add --local {missing}"):
        remotes.push(folder=toy)
    assert not (toy.parent / there).exists()


def test_dvc_itself_cannot_push_before_the_remotes_are_set_up(toy: Path) -> None:
    set_up(toy, public=toy.parent / "public")
    plain = [sys.executable, "-m", "dvc", "push"]
    done = subprocess.run(plain, cwd=toy, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode
    assert "not-set-up.invalid" in done.stderr
    assert b"r\n" not in objects(toy.parent / "public").values()


@pytest.mark.parametrize(
    "public",
    [
        "{}/place", "{}/place/", "{}/place/inside", "{}/link", "{}/link/inside", "{}", "{}/x/../place", "{}//place",
        "file://{}/place", "file://localhost{}/place/inside/", "local://{}/link", "../place", "remote://restricted",
        "remote://restricted/inside", "ssh://me@localhost:2222{}/place", "sftp://127.0.0.1{}/link/inside",
    ],
)  # fmt: skip
def test_one_remote_within_the_other_is_refused(toy: Path, public: str) -> None:
    (toy.parent / "place").mkdir()
    (toy.parent / "link").symlink_to(toy.parent / "place")
    set_up(toy, restricted=toy.parent / "place", public=Path("x"))
    local = toy / ".dvc/config.local"  # as somebody writes it, which DVC's own command would tidy up
    written = public.format(toy.parent) if "://" in public or public[0] == "{" else f"../{public}"
    local.write_text(re.sub(r"(\['remote \"public\"'\]\s+url = ).*", rf"\g<1>{written}", local.read_text()))
    with pytest.raises(RuntimeError, match=r"one lies in the other's place|Unsupported URL type .*mend"):
        remotes.push(folder=toy)
    assert not list((toy.parent / "place").iterdir())


ALIKE = [
    ("s3://Mema/data", "s3://mema/data/"),
    ("s3://mema/data", "s3://mema/data/public"),
    ("ssh://me@Host.example.org:22/mnt/x", "sftp://host.example.org./mnt/x/y"),
    ("https://store.example.org:443/x", "http://me:word@STORE.example.org/x/"),
    ("webdavs://store.example.org/x", "https://store.example.org/x/./y"),
    ("gs://mema", "gs://mema/x/../y"),
    ("azure://data", "azure://data/"),
]
APART = [
    ("s3://mema/data", "s3://mema/data2"), ("s3://mema/data", "gs://mema/data"), ("/mnt/a", "/mnt/ab"),
    ("ssh://one.invalid/mnt", "ssh://two.invalid/mnt"), ("https://x.invalid:8443/a", "https://x.invalid/a"),
    ("/mnt/a", "s3://mnt/a"), ("ssh://far.invalid/mnt/a", "/mnt/a"), ("file:///mnt/a", "/mnt/b"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "alike"), [(*p, True) for p in ALIKE] + [(*p, False) for p in APART])
def test_places_are_compared_whatever_their_spelling(one: str, other: str, alike: bool) -> None:
    assert remote_places.share(one, other) is remote_places.share(other, one) is alike


def test_a_file_that_was_added_by_hand_may_not_leave(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(toy, **{name: toy.parent / name for name in remotes.NAMES})
    monkeypatch.chdir(toy)
    (toy / "dvc.yaml").unlink()  # else DVC knows another maker of the same output
    (toy / "dvc.lock").unlink()
    (toy / "data/mema").write_text("whatever")
    dvc.add(Path("data/mema"), "public")
    with pytest.raises(RuntimeError, match=r"data/mema is made by no stage of dvc\.yaml and names remote 'public'"):
        remotes.push()
    assert not (toy.parent / "public").exists()


@pytest.mark.parametrize("name", ["data/mema2", "data/mema/more", "data/profile", "else/data/mema", "data/Mema"])
def test_whatever_is_not_listed_stays(toy: Path, name: str) -> None:
    set_up(toy, **{name: toy.parent / name for name in remotes.NAMES})
    stage = {"cmd": f"mkdir -p {Path(name).parent} && echo q > {name}", "outs": [{name: {"remote": "public"}}]}
    (toy / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    (toy / "data/mema").unlink()
    run_dvc(toy, "repro")
    with pytest.raises(RuntimeError, match=f"nothing was pushed: {name} is none of the outputs that may leave"):
        remotes.push(folder=toy)
    assert not (toy.parent / "public").exists()


def test_an_import_and_a_link_may_not_leave(toy: Path) -> None:
    set_up(toy, **{name: toy.parent / name for name in remotes.NAMES})
    (toy.parent / "photo").write_text("of a patient")
    run_dvc(toy, "import-url", str(toy.parent / "photo"), "data/photo")
    pointer = toy / "data/photo.dvc"
    with pytest.raises(RuntimeError, match="data/photo names remote None"):
        remotes.push(folder=toy)
    content = yaml.safe_load(pointer.read_text())
    content["outs"][0]["remote"] = "public"
    pointer.write_text(yaml.safe_dump(content))
    with pytest.raises(RuntimeError, match="data/photo is none of the outputs that may leave"):
        remotes.push(folder=toy)
    pointer.unlink()
    (toy / "data/mema").unlink()
    (toy / "data/mema").symlink_to(toy.parent / "photo")
    with pytest.raises(RuntimeError, match="data/mema is a link to another folder"):
        remotes.push(folder=toy)
    assert not (toy.parent / "public").exists()


@pytest.mark.parametrize("remote", [None, "elsewhere"])
def test_an_output_without_one_of_the_two_remotes_stops_the_push(toy: Path, remote: str | None) -> None:
    set_up(toy, **{name: toy.parent / name for name in (*remotes.NAMES, "elsewhere")})
    graph = yaml.safe_load((toy / "dvc.yaml").read_text())
    graph["stages"]["make"]["outs"][0]["data/r"] = {"remote": remote} if remote else {}
    (toy / "dvc.yaml").write_text(yaml.safe_dump(graph))
    with pytest.raises(RuntimeError, match=rf"nothing was pushed: data/r names remote {remote!r}; write"):
        remotes.push(folder=toy)
    assert not (toy.parent / "public").exists()


def test_a_folder_of_patients_that_somebody_added_as_public_stops_the_push(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(toy, **{name: toy.parent / name for name in remotes.NAMES})
    (toy / "data/hospital/raw").mkdir(parents=True)
    (toy / "data/hospital/raw/records.csv").write_text("patient_id\n")
    monkeypatch.chdir(toy)
    dvc.add(Path("data/hospital/raw"), "public")
    with pytest.raises(
        RuntimeError, match=r"data/hospital/raw is none of the outputs that may leave .* and names remote 'public'"
    ):
        remotes.push()
    assert not (toy.parent / "public").exists()
    dvc.add(Path("data/hospital/raw"), "restricted")
    remotes.push(lambda line: None)
    assert set(objects(toy.parent / "public").values()) == {b"p\n"}
    assert b"patient_id\n" in objects(toy.parent / "restricted").values()


def test_public_gets_nothing_when_restricted_takes_nothing(toy: Path) -> None:
    (toy.parent / "restricted").write_text("a file where the folder should be")
    set_up(toy, **{name: toy.parent / name for name in remotes.NAMES})
    with pytest.raises(RuntimeError, match="dvc push to 'restricted' ended with exit code"):
        remotes.push(lambda line: None, toy)
    assert not (toy.parent / "public").exists()


@pytest.mark.slow
def test_the_command_pushes_and_knows_no_run_cache(toy: Path) -> None:
    set_up(toy, **{name: toy.parent / name for name in remotes.NAMES})
    code = "from mema.cli import app; app()"
    mema = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    refused = subprocess.run([*mema, "push", "--run-cache"], cwd=toy, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "No such option" in refused.stderr
    assert not (toy.parent / "public").exists()
    command(toy, *mema, "push")
    assert set(objects(toy.parent / "public").values()) == {b"p\n"}
    for name in ("r", "mema"):
        (toy / "data" / name).unlink()
    command(toy, "rm", "-rf", ".dvc/cache")
    command(toy, *mema, "pull", "make")
    assert (toy / "data/r").read_text() == "r\n"
    run_dvc(toy, "remote", "remove", "--local", "restricted")
    failed = subprocess.run([*mema, "push"], cwd=toy, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "'restricted': not set up" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_repository_says_of_no_remote_where_it_is() -> None:
    listed = run_dvc(ROOT, "remote", "list", "--project").split()
    assert listed[::2] == list(remotes.NAMES)
    assert all(url.startswith("https://not-set-up.invalid/") for url in listed[1::2])
    assert "default" not in " ".join(listed)
