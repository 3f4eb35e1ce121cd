"""Stage train_deid: MedSem-DeID on MeMa's training split, with losses and sheets of images while it runs."""

import hashlib
import math
import shutil
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from diffusers import AutoencoderKL
from torch import nn

from mema.params import load
from mema.params.deidentify import TrainDeid
from mema.params.synthesize import Generator
from mema.runtime import durable, entry, launch, shards
from models.deid.card import TrainedOn, digest_of
from models.deid.deidentifier import Deidentifier, save_deidentifier
from models.deid.encoders.medical_encoder import load_medical_encoder
from models.deid.face_embedder import load_face_embedder
from models.deid.features import OriginalFeatures, cache_features
from models.deid.networks import LATENT_STRIDE, DeidConfig, MedSemDeID
from models.deid.training import DeidSettings, Judges
from models.deid.training import train_deid as train
from models.diffusion.generator import generator_folder
from models.diseases import DISEASES
from models.images import decode, encode_png, tile
from models.training.distributed import group

STAGE = "train_deid"


def training_images(mema: Path, size_px: int) -> tuple[list[np.ndarray], list[str]]:
    """Return images and diseases of a split of MeMa; raises ValueError on another size or an empty split."""
    table = shards.read_table(mema, columns=["image", "disease"])
    images = [decode(data.as_py()) for data in table["image"]]
    if not images:
        raise ValueError(f"{mema}: no images; run assemble again with more images in its training split")
    for image in images:
        if image.shape[:2] != (size_px, size_px):
            raise ValueError(
                f"train_deid.image_size_px: {size_px}, but {mema} holds an image of {image.shape[1]} x "
                f"{image.shape[0]} px; set it to {image.shape[0]}"
            )
    return images, table["disease"].to_pylist()


def load_judges(generator: Generator, section: TrainDeid, medical: Path) -> Judges:
    """Return the frozen networks whose opinions are losses, on this process's GPU if any."""
    device = group().device
    vae = AutoencoderKL.from_pretrained(
        generator_folder(generator.path), subfolder="vae", local_files_only=True, torch_dtype=torch.float32
    )
    stride = 2 ** (len(vae.config["block_out_channels"]) - 1)
    if stride != LATENT_STRIDE:
        raise ValueError(
            f"generator.path: an autoencoder of stride {stride}; MedSem-DeID needs Stable Diffusion's {LATENT_STRIDE}"
        )
    judges = Judges(vae, load_medical_encoder(medical), load_face_embedder(Path(section.loss_recogniser)))
    parts: list[nn.Module] = [judges.vae, judges.medical, judges.phi]
    for part in parts:
        part.requires_grad_(False).eval().to(device)
    return judges


def build(judges: Judges, section: TrainDeid) -> MedSemDeID:
    """Return seeded networks of the sizes that params.yaml names."""
    config = DeidConfig(
        image_size_px=section.image_size_px,
        latent_channels=judges.vae.config["latent_channels"],
        med_channels=judges.medical.channels if section.use_f_med else 0,
        **section.networks.model_dump(),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(section.seed)
        return MedSemDeID(config)


class Sheets:
    """Sheets of X, X_enc, X_hat and X_wrong, a column a disease, and losses as dvclive shows them."""

    def __init__(self, folder: Path, images: list[np.ndarray], diseases: list[str], judges: Judges) -> None:
        from dvclive import Live

        shown = [diseases.index(disease) for disease in DISEASES if disease in diseases]
        self._images = np.stack([images[row] for row in shown])
        self._judges, self._folder = judges, folder
        self._live = Live(str(folder / "live"), resume=True, save_dvc_exp=False, dvcyaml=None, report=None)

    def losses(self, step: int, found: dict[str, float]) -> None:
        """Append the smoothed losses at this step."""
        self._live.step = step
        for name, value in found.items():
            self._live.log_metric(f"loss/{name}", value)
        self._live.make_summary()

    def images(self, step: int, model: MedSemDeID) -> None:
        """Draw the same originals under the same passwords at every step."""
        vae, medical = self._judges.vae, self._judges.medical
        frozen = MedSemDeID(model.config)
        frozen.load_state_dict(model.state_dict())
        network = Deidentifier(frozen, vae, medical if model.config.med_channels else None)
        draw = np.random.default_rng(0).standard_normal
        right, wrong = (draw((len(self._images), network.password_dim)).astype(np.float32) for _ in range(2))
        encrypted, codes = network.encrypt(self._images, right)
        rows = [self._images, encrypted, network.decrypt(codes, right), network.decrypt(codes, wrong)]
        durable.write_bytes(
            self._folder / "grids" / f"step-{step:06d}.png",
            encode_png(tile(np.concatenate(rows), columns=len(self._images))),
        )


def run(mema: Path, medical: Path, out: Path, metrics: Path, generator: Generator, section: TrainDeid) -> int:
    """Train on the training split, going on where a killed run stopped; return the images seen.

    In a group all processes train, and one draws sheets and publishes.
    """
    together = group()
    together.share(section.batch_size, f"{STAGE}.batch_size")  # an error before any work
    images, diseases = training_images(mema / "train", section.image_size_px)
    vae_folder = generator_folder(generator.path) / "vae"
    recogniser = Path(section.loss_recogniser)
    fingerprint = entry.fingerprint(STAGE, mema / "train", medical, vae_folder, recogniser, section=section)
    scratch = shards.SCRATCH / f"{STAGE}-{fingerprint}"
    judges = load_judges(generator, section, medical)
    features = cache_features(
        images, [DISEASES.index(d) for d in diseases], judges.vae, judges.medical, judges.phi, scratch / "features"
    )
    model = build(judges, section)
    sheets = Sheets(scratch, images, diseases, judges) if together.is_main else None
    losses = fit(model, judges, features, section, scratch, sheets)
    summary = {
        "images": len(images),
        "steps": section.steps,
        "images_seen": section.steps * section.batch_size,
        "losses": {name: round(value, 4) for name, value in losses.items()},
        "trainable_parameters": sum(p.numel() for p in model.parameters()),
    }
    together.wait()  # nobody needs the scratch any more
    if together.is_main:
        publish(model, judges, medical, scratch, out, describe(mema, section))
        durable.write_json(metrics, summary)
        shards.clear_scratch(STAGE)
    return summary["images_seen"]


def fit(
    model: MedSemDeID,
    judges: Judges,
    features: OriginalFeatures,
    settings: DeidSettings,
    scratch: Path,
    sheets: Sheets | None,
) -> dict[str, float]:
    """Train and return the smoothed losses; raises ValueError where they are no numbers."""
    losses = train(
        model, judges, features, settings,
        checkpoint=scratch / "checkpoint.pt",
        report=sheets.losses if sheets else None, grid=sheets.images if sheets else None,
    )  # fmt: skip
    if not all(math.isfinite(value) for value in losses.values()):
        raise ValueError(f"train_deid.learning_rate: losses {losses} at {settings.learning_rate}; lower it")
    return losses


def describe(mema: Path, section: TrainDeid) -> TrainedOn:
    """Return what the model's config.json says of its data: all of MeMa's splits."""
    tables = [shards.read_table(folder, columns=["image_id"]) for folder in sorted(mema.iterdir()) if folder.is_dir()]
    ids = [name for table in tables for name in table["image_id"].to_pylist()]
    recogniser = hashlib.sha256(Path(section.loss_recogniser).read_bytes()).hexdigest()
    return TrainedOn(section.domain, digest_of(ids), recogniser, ids)


def publish(model: MedSemDeID, judges: Judges, medical: Path, scratch: Path, out: Path, trained_on: TrainedOn) -> None:
    """Put weights, sheets and curves at `out` in one rename; those of scratch stay for a run that is killed."""
    incoming = out.with_name(f".{out.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    save_deidentifier(model, judges.vae, medical, incoming, trained_on)
    for name in ("grids", "live"):
        if (scratch / name).is_dir():
            shutil.copytree(scratch / name, incoming / name)
    shutil.rmtree(out, ignore_errors=True)
    incoming.replace(out)


def main(
    mema: Annotated[Path, typer.Option(help="folder of MeMa's splits")],
    medical_encoder: Annotated[Path, typer.Option(help="folder of the medical encoder")],
    deid: Annotated[Path, typer.Option(help="out: folder of the de-identifier, with sheets of images")],
    metrics: Annotated[Path, typer.Option(help="out: counts and losses as JSON")],
) -> None:
    """Train MedSem-DeID on MeMa's training split."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(mema, medical_encoder, deid, metrics, params.generator, params.train_deid)


if __name__ == "__main__":
    launch.start(main)
