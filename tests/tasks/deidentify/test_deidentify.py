"""Every method on the validation images: what is stored, on what it depends, and going on after a kill."""

import json
from pathlib import Path

import numpy as np
import pytest

from mema.params.deidentify import Deidentify
from mema.runtime import shards
from models.deid.deidentifier import load_deidentifier
from models.images import decode
from models.methods.gaussian_blur import GaussianBlur
from tasks.deidentify import deidentify
from tasks.works.generation import GeneratorFiles
from tests.toys.deid import toy_deidentifier
from tests.worlds.deid import write_deid_world
from tests.worlds.entry import write_entry

METHODS = {
    "identity": {"use": "identity"},
    "blur": {"use": "gaussian_blur", "options": {"sigma": 0.05}},
    "k_same": {"use": "k_same_mean", "options": {"k": 3}},
    "medsem": {"use": "medsem"},
    "mine": {"use": "tests.tasks.deidentify.test_deidentify.Told", "options": {"shade": 9}},
}
OUT = Path("deidentified")


class Told:
    """A user's method that is told the diagnosis."""

    told_disease = True

    def __init__(self, shade: int) -> None:
        self.shade = shade

    def deidentify(self, images, passwords, diseases):
        made = np.zeros_like(images)
        made[:, 0, 0, 0] = [len(name) for name in diseases]
        made[:, 0, 1] = self.shade
        return made, passwords

    def recover(self, images, side_car, passwords):
        return images if (side_car == passwords).all() else 255 - images


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    toy_deidentifier(root / "deid")
    return write_deid_world(root)


def section(**changes) -> Deidentify:
    values = {"methods": METHODS, "password_dim": 512, "batch_size": 4, "shard_rows": 6, "seed": 7}
    return Deidentify.model_validate(values | changes)


def run(world, section: Deidentify, out: Path = OUT) -> int:
    generator = GeneratorFiles(Path("nowhere"), None, None, "fp32")
    mema = world.data / "mema"
    files = deidentify.Files(generator, mema / "train", world.data.parent / "deid")
    return deidentify.run(mema, world.data / "mema_seg", out, section, files)


@pytest.fixture(scope="module")
def made(world, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("made"))
        assert run(world, section()) == 5 * 16
        return {name: shards.read_table(OUT / name) for name in METHODS} | {
            f"{name}.json": json.loads((OUT / name / "method.json").read_text()) for name in METHODS
        }


def images(table, column: str = "image") -> np.ndarray:
    return np.stack([decode(data) for data in table[column].to_pylist()])


def originals(world):
    return shards.read_table(world.data / "mema/val")


def test_each_image_of_both_splits_stands_once_in_each_method(world, made):
    ids = originals(world)["image_id"].to_pylist()
    assert len(set(ids)) == 16
    for name in METHODS:
        assert made[name].schema.equals(deidentify.DEIDENTIFIED)
        assert made[name]["image_id"].to_pylist() == ids
    np.testing.assert_array_equal(images(made["identity"]), images(originals(world)))
    assert made["blur"]["recovered"].null_count == made["blur"]["wrong"].null_count == 16


def test_medsem_is_decrypted_with_the_right_and_a_wrong_password(world, made):
    deidentifier = load_deidentifier(world.data.parent / "deid")
    ids, x = originals(world)["image_id"].to_pylist(), images(originals(world))
    right, wrong = (deidentify.passwords(ids, 512, 7, wrong=wrong) for wrong in (False, True))
    released, features = deidentifier.encrypt(x, right)
    expected = {"image": released} | {
        name: deidentifier.decrypt(features, given) for name, given in (("recovered", right), ("wrong", wrong))
    }
    for column, found in expected.items():
        np.testing.assert_allclose(images(made["medsem"], column).astype(int), found, atol=1)
    assert (expected["recovered"] != expected["wrong"]).mean() > 0.1


def test_a_method_of_ones_own_is_told_the_disease_only_if_it_says_so(world, made):
    found = images(made["mine"])
    assert found[:, 0, 0, 0].tolist() == [len(name) for name in originals(world)["disease"].to_pylist()]
    assert (found[:, 0, 1] == 9).all()
    np.testing.assert_array_equal(images(made["mine"], "recovered"), found)
    np.testing.assert_array_equal(images(made["mine"], "wrong"), 255 - found)
    assert made["mine.json"] == METHODS["mine"] | {"told_disease": True}
    assert made["blur.json"]["told_disease"] is False


def test_passwords_are_standard_normal_and_a_function_of_id_and_seed():
    ids = [f"{i:064x}"[::-1] for i in range(1, 60)]
    right = deidentify.passwords(ids, 512, 7)
    assert right.dtype == np.float32
    assert abs(right.mean()) < 0.02
    assert right.std() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(deidentify.passwords(ids[::-1], 512, 7)[::-1], right)
    others = [deidentify.passwords(ids, 512, 8), deidentify.passwords(ids, 512, 7, wrong=True), right[::-1]]
    for other in others:
        assert np.abs(np.corrcoef(right.ravel(), other.ravel())[0, 1]) < 0.05


def test_no_byte_depends_on_the_number_of_threads(world, made, tmp_path, monkeypatch, use_threads):
    monkeypatch.chdir(tmp_path)
    found = []
    for num in (1, 3):
        use_threads(num)
        run(world, section(batch_size=2))
        found.append({path: path.read_bytes() for path in OUT.rglob("*.*")})
        shards.shutil.rmtree(OUT)
        shards.shutil.rmtree(".scratch")
    assert found[0] == found[1]


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(world, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_entry(tmp_path, "deidentify", Path(__file__))  # where the method of one's own lies
    few = section(methods={name: METHODS[name] for name in ("blur", "mine")})
    run(world, few, Path("whole"))
    whole = {path.relative_to("whole"): path.read_bytes() for path in Path("whole").rglob("*.*")}
    shards.shutil.rmtree(".scratch")
    calls, change = [], Told.deidentify

    def watched(self, images, passwords, diseases):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return change(self, images, passwords, diseases)

    monkeypatch.setattr(Told, "deidentify", watched)
    with pytest.raises(KeyboardInterrupt):
        run(world, few)
    assert not OUT.exists()
    monkeypatch.setattr(GaussianBlur, "deidentify", None)  # finished, so not called again
    run(world, few)
    assert calls == [4, 2, 4, 4, 2, 4]
    assert {path.relative_to(OUT): path.read_bytes() for path in OUT.rglob("*.*")} == whole


def test_a_method_that_no_dep_holds_is_applied_anew(world, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    for shade in (9, 99):  # as another file of weights would change it, which its options do not tell
        monkeypatch.setattr(Told, "recover", lambda self, images, side_car, passwords, shade=shade: images * 0 + shade)
        run(world, section(methods={"mine": METHODS["mine"]}))
        assert (images(shards.read_table(OUT / "mine"), "recovered") == shade).all()
    assert "test_deidentify.Told lies in none of its deps" in caplog.text
    assert {path.name for path in Path(".scratch").iterdir() if not (path / ".published").exists()} == set()


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (
            {"x": {"use": "blurr"}},
            r"deidentify\.methods: 'blurr'; known: eye_bar, gaussian_blur.* package\.module\.Class",
        ),
        ({"x": {"use": "gaussian_blur", "options": {"radius": 1}}}, "gaussian_blur does not take {'radius': 1}"),
        ({"x": {"use": "k_same_mean", "options": {"k": 99}}}, r"k_same\.k: 99 of 16 training faces"),
        ({"x": {"use": "tests.nowhere.Mine"}}, r"'tests\.nowhere\.Mine' cannot be loaded"),
    ],
)
def test_a_method_that_cannot_be_had_says_so(world, tmp_path, monkeypatch, methods, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        run(world, section(methods=methods))
