"""MedSem-DeID ready for use: aligned faces and password vectors in, faces of nobody and f_enc out."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float, Float16, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.deid.card import FORMAT, TrainedOn, write_known
from models.deid.encoders.medical_encoder import MedicalEncoder, load_medical_encoder
from models.deid.networks import DeidConfig, MedSemDeID, decode, encode
from models.training.augmentation import to_signal

BATCH = 16


class Deidentifier:
    """A trained MedSem-DeID with its autoencoder and, where it uses f_med, its medical encoder."""

    def __init__(
        self, model: MedSemDeID, vae: AutoencoderKL, medical: MedicalEncoder | None, device: torch.device | None = None
    ) -> None:
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        parts = [part for part in (model, vae, medical) if part is not None]
        for part in parts:
            part.requires_grad_(False).eval().to(self.device)
        self._model, self._vae, self._medical = model, vae, medical
        self.image_size_px = model.config.image_size_px
        self.password_dim = model.config.password_dim

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of f_enc, which the side-car carries."""
        config = self._model.config
        return config.width, config.grid, config.grid

    @torch.no_grad()
    def encrypt(
        self, images: UInt8[np.ndarray, "n s s 3"], passwords: Float[np.ndarray, "n d"]
    ) -> tuple[UInt8[np.ndarray, "n s s 3"], Float16[np.ndarray, "n c h w"]]:
        """Return X_enc, and f_enc in half precision, of aligned RGB faces of `image_size_px`."""
        self._check(images.shape[1:], (self.image_size_px, self.image_size_px, 3), len(images), passwords)
        faces, codes = ([np.zeros((0, *images.shape[1:]), np.uint8)], [np.zeros((0, *self.feature_shape), np.float16)])
        for rows in _batches(len(images)):
            x = to_signal(torch.from_numpy(images[rows]), self.image_size_px).to(self.device)
            f_med = self._medical(x) if self._medical is not None else None
            f = self._model.features(encode(self._vae, x), f_med)
            f_enc = self._model.encrypt(f, self._vectors(passwords[rows])).half()
            codes.append(f_enc.cpu().numpy())
            faces.append(self._image(f_enc.float()))
        return np.concatenate(faces), np.concatenate(codes)

    @torch.no_grad()
    def decrypt(
        self, features: Float16[np.ndarray, "n c h w"], passwords: Float[np.ndarray, "n d"]
    ) -> UInt8[np.ndarray, "n s s 3"]:
        """Return X_hat under the passwords of `encrypt`, X_wrong under others."""
        self._check(features.shape[1:], self.feature_shape, len(features), passwords)
        faces = [np.zeros((0, self.image_size_px, self.image_size_px, 3), np.uint8)]
        for rows in _batches(len(features)):
            f_enc = torch.from_numpy(features[rows]).float().to(self.device)
            faces.append(self._image(self._model.decrypt(f_enc, self._vectors(passwords[rows]))))
        return np.concatenate(faces)

    def _vectors(self, passwords: np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(passwords, np.float32)).to(self.device)

    def _image(self, f: Tensor) -> UInt8[np.ndarray, "b s s 3"]:
        signal = decode(self._vae, self._model.latents(f)).clamp(-1, 1)
        return ((signal + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()

    def _check(self, found: tuple[int, ...], wanted: tuple[int, ...], num: int, passwords: np.ndarray) -> None:
        if found != wanted:
            raise ValueError(f"deidentifier: {found} given for each face, this model takes {wanted}")
        if passwords.shape != (num, self.password_dim):
            raise ValueError(
                f"deidentifier: passwords of shape {passwords.shape} for {num} faces; one row of "
                f"{self.password_dim} each"
            )


def _batches(num: int) -> Iterator[slice]:
    return (slice(start, start + BATCH) for start in range(0, num, BATCH))


def save_deidentifier(
    model: MedSemDeID, vae: AutoencoderKL, medical: Path | None, folder: Path, trained_on: TrainedOn
) -> None:
    """Write a folder that `load_deidentifier` reads without anything beside it.

    `medical` is the folder of the medical encoder, copied where the model uses f_med. What it was `trained_on`
    is sealed with the rest: config.json's digest is the model's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_known(folder, trained_on)
    weights = folder / "model.safetensors"
    save_file({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}, weights)
    vae.save_pretrained(folder / "vae")
    if model.config.med_channels:
        assert medical is not None, "a model with f_med needs its medical encoder"
        ignore = shutil.ignore_patterns("grids")
        shutil.copytree(medical, folder / "medical_encoder", ignore=ignore, dirs_exist_ok=True)
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "config.json")
    files += sorted(folder.glob("*/config.json"))
    config = {
        "format": FORMAT,
        "trained_on": trained_on.as_dict(),
        "networks": model.config.as_dict(),
        "sha256": {str(file.relative_to(folder)): _sha256(file) for file in files},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load_deidentifier(folder: Path) -> Deidentifier:
    """Load what `save_deidentifier` wrote; raises ValueError where a file is missing or was changed."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"deidentifier: no {path}; run `dvc repro train_deid` or name another folder")
    config = json.loads(path.read_text())
    if config.get("format") != FORMAT:
        raise ValueError(f"{path}: format {config.get('format')}, this version reads {FORMAT}")
    for name, digest in config["sha256"].items():
        file = folder / name
        if not file.is_file() or _sha256(file) != digest:
            raise ValueError(f"{file}: missing or changed; fetch the folder again (dvc pull {folder})")
    model = MedSemDeID(DeidConfig(**config["networks"]))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    vae = AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True)
    medical = load_medical_encoder(folder / "medical_encoder") if model.config.med_channels else None
    return Deidentifier(model, vae, medical)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
