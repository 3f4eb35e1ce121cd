import json
from pathlib import Path

import numpy as np
import pytest

from models.deid.deidentifier import FORMAT, Deidentifier, load_deidentifier
from tests.toys.deid import SIZE_PX, toy_deidentifier, toy_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_deidentifier(tmp_path_factory.mktemp("deid"))


@pytest.fixture(scope="module")
def network(folder: Path) -> Deidentifier:
    return load_deidentifier(folder)


def passwords(num: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((num, 512)).astype(np.float32)


def test_shapes_and_types(network: Deidentifier) -> None:
    faces, codes = network.encrypt(toy_images(3), passwords(3))
    assert (faces.shape, faces.dtype) == ((3, SIZE_PX, SIZE_PX, 3), np.uint8)
    assert (codes.shape, codes.dtype) == ((3, *network.feature_shape), np.float16)
    assert network.decrypt(codes, passwords(3)).shape == faces.shape


def test_a_face_does_not_depend_on_the_batch_it_is_in(network: Deidentifier) -> None:
    images, keys = toy_images(18), passwords(18)
    faces, codes = network.encrypt(images, keys)
    alone, code = network.encrypt(images[17:], keys[17:])
    assert np.abs(faces[17].astype(int) - alone[0]).max() <= 1
    assert np.allclose(codes[17], code[0], atol=2e-2)


def test_passwords_matter_and_the_same_one_gives_the_same_face(network: Deidentifier) -> None:
    images = toy_images(2)
    first, codes = network.encrypt(images, passwords(2))
    assert (network.encrypt(images, passwords(2))[0] == first).all()
    assert (network.encrypt(images, passwords(2, seed=1))[0] != first).mean() > 0.3
    assert (network.decrypt(codes, passwords(2)) != network.decrypt(codes, passwords(2, 1))).mean() > 0.3


def test_what_does_not_fit_is_named(network: Deidentifier) -> None:
    with pytest.raises(ValueError, match=r"\(64, 64, 3\) given for each face, this model takes \(96, 96, 3\)"):
        network.encrypt(np.zeros((1, 64, 64, 3), np.uint8), passwords(1))
    with pytest.raises(ValueError, match=r"passwords of shape \(1, 512\) for 2 faces"):
        network.encrypt(toy_images(2), passwords(1))


def test_no_faces_are_no_work(network: Deidentifier) -> None:
    faces, codes = network.encrypt(toy_images(0), passwords(0))
    assert len(faces) == len(codes) == len(network.decrypt(codes, passwords(0))) == 0


@pytest.mark.parametrize("name", ["model.safetensors", "vae/diffusion_pytorch_model.safetensors", "vae/config.json"])
def test_a_changed_or_missing_file_is_refused(name: str, tmp_path: Path) -> None:
    folder = toy_deidentifier(tmp_path / "deid")
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"{name}: missing or changed"):
        load_deidentifier(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"{name}: missing or changed"):
        load_deidentifier(folder)


def test_another_format_and_no_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no .*config.json; run `dvc repro train_deid`"):
        load_deidentifier(tmp_path)
    folder = toy_deidentifier(tmp_path / "deid")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": FORMAT + 1}))
    with pytest.raises(ValueError, match=f"format {FORMAT + 1}, this version reads {FORMAT}"):
        load_deidentifier(folder)
