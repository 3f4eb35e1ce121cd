"""Stage evaluate_ablation: which part of MedSem-DeID does what (Tables 9 and 10, Fig. 8), arm by arm."""

import json
import logging
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from mema.params import Params, load
from mema.params.deidentify import TrainDeid
from mema.runtime import durable, entry, shards, stage
from models.deid.ablation import Arm, Matrix, matrix, plot_sweeps
from models.deid.deidentifier import Deidentifier
from models.deid.features import OriginalFeatures, cache_features
from models.deid.training import Judges, train_deid
from models.diffusion.generator import file_sha256, generator_folder
from models.diseases import DISEASES
from models.identity.recogniser import load_recogniser
from models.images import decode
from models.judges.image_quality import psnr
from models.judges.sign_classifier import load_sign_classifier
from models.statistics.identity_distance import identity_distance, mean_over_patients
from models.statistics.recall import top1
from tasks.deidentify.deidentify import passwords
from tasks.deidentify.evaluation import read_originals
from tasks.deidentify.train_deid import build, load_judges, training_images
from tasks.deidentify.train_medical_encoder import tune
from tasks.works.pseudonyms import pseudonyms

STAGE = "evaluate_ablation"
BATCH = 64  # validation images at once


def full_model(params: Params) -> Arm:
    """Return the model of train_deid, with f_med whatever that section says."""
    section = params.train_deid
    return Arm("mema", True, section.lambda_med, section.lambda_rev, params.train_medical_encoder.kind)


def arm_section(arm: Arm, params: Params) -> TrainDeid:
    """Return train_deid's section with the arm's settings; the rate is halved at the same shares of the steps."""
    section, steps = params.train_deid, params.evaluate_ablation.steps
    changes = {
        "use_f_med": arm.f_med,
        "lambda_med": arm.lambda_med,
        "lambda_rev": arm.lambda_rev,
        "steps": steps,
        "halve_at": tuple(max(1, round(place * steps / section.steps)) for place in section.halve_at),
    }
    return section.model_copy(update=changes)


class Laboratory:
    """Trains arms and measures them on MeMa's validation split; what several arms need is made once."""

    def __init__(self, mema: Path, public_faces: Path, medical: Path, judge: Path, params: Params) -> None:
        self._mema, self._public, self._medical, self._params = mema, public_faces, medical, params
        self._judge_folder = judge
        section = params.evaluate_ablation
        recogniser, loss = Path(section.recogniser), Path(params.train_deid.loss_recogniser)
        if recogniser.is_file() and loss.is_file() and file_sha256(recogniser) == file_sha256(loss):
            raise ValueError(
                f"evaluate_ablation.recogniser: {recogniser} is train_deid.loss_recogniser; "
                "name one that no training used"
            )
        generator = generator_folder(params.generator.path)
        inputs = (mema, public_faces, medical, judge, generator, recogniser, loss)
        sections = (section, params.train_deid, params.train_lora, params.train_medical_encoder)
        self.scratch = shards.SCRATCH / f"{STAGE}-{entry.fingerprint(STAGE, *inputs, sections=sections)}"
        self._loaded: dict[str, Judges] = {}

    def measured(self, arm: Arm) -> dict[str, Any]:
        """Return the arm's figures, trained now or found where a killed run left them."""
        done = self.scratch / f"{arm.name}.json"
        if not done.exists():
            checkpoint = self.scratch / f"{arm.name}.pt"
            durable.write_json(done, self._measure(self._train(arm, checkpoint)))
            checkpoint.unlink(missing_ok=True)
        return json.loads(done.read_text())

    def _train(self, arm: Arm, checkpoint: Path) -> Deidentifier:
        section = arm_section(arm, self._params)
        judges = self._judges(arm.encoder)
        model = build(judges, section)
        settings = section
        features = self._features(arm, judges)
        train_deid(model, judges, features, settings, checkpoint=checkpoint)
        return Deidentifier(model, judges.vae, judges.medical if arm.f_med else None)

    def _judges(self, kind: str) -> Judges:
        """Load the networks of the losses; an encoder that is not train_medical_encoder's is tuned here."""
        if kind not in self._loaded:
            folder = self._medical
            if kind != self._params.train_medical_encoder.kind:
                folder = self.scratch / f"encoder-{kind}"
                if not folder.exists():
                    tune(kind, self._mema / "train", folder, self._params, STAGE)
            self._loaded = {kind: load_judges(self._params.generator, self._params.train_deid, folder)}
        return self._loaded[kind]

    def _features(self, arm: Arm, judges: Judges) -> OriginalFeatures:
        folder = self.scratch / f"features-{arm.dataset}-{arm.encoder}"
        images, diseases = self._mema_faces if arm.dataset == "mema" else self._public_faces
        rows = [DISEASES.index(name) for name in diseases]
        return cache_features(images, rows, judges.vae, judges.medical, judges.phi, folder)

    @cached_property
    def _mema_faces(self) -> tuple[list[np.ndarray], list[str]]:
        return training_images(self._mema / "train", self._params.train_deid.image_size_px)

    @cached_property
    def _public_faces(self) -> tuple[list[np.ndarray], list[str]]:
        """As many public faces as MeMa has for training, none a donor of the validation split; all are normal."""
        size, seed = self._params.train_deid.image_size_px, self._params.evaluate_ablation.seed
        held_out = set(read_originals(self._mema).people)
        ids = shards.read_table(self._public, columns=["image_id"])["image_id"].to_pylist()
        people = pseudonyms(self._params.release, self._params.release_key).recognise(ids, held_out)
        rows = np.array([row for row, name in enumerate(people) if name not in held_out], np.int64)
        rows = np.random.default_rng(seed).permutation(rows)[: len(self._mema_faces[0])]
        if not len(rows):
            raise ValueError(f"{self._public}: no face that is not a validation donor; M1 needs some")
        table = shards.take_rows(self._public, sorted(rows.tolist()), columns=["image"])
        images = [_sized(decode(data), size) for data in table["image"].to_pylist()]
        return images, ["normal"] * len(images)

    @cached_property
    def _eyes(self) -> tuple[Any, Any]:
        """The judge of the signs, and the recogniser that measures ID-Dis."""
        recogniser = load_recogniser(self._params.evaluate_ablation.recogniser)
        return load_sign_classifier(self._judge_folder), recogniser

    def _measure(self, model: Deidentifier) -> dict[str, Any]:
        """Return ID-Dis and Med-Class of X_enc, PSNR of X_hat, each with n and an interval."""
        section, originals = self._params.evaluate_ablation, read_originals(self._mema)
        classifier, recogniser = self._eyes
        parts: dict[str, list[np.ndarray]] = {"id_dis": [], "psnr": [], "disease": []}
        for start in range(0, len(originals.image_ids), BATCH):
            ids = originals.image_ids[start : start + BATCH]
            images, keys = originals.images(ids), passwords(ids, model.password_dim, section.seed)
            changed, features = model.encrypt(images, keys)
            distances = identity_distance(recogniser.embed(images), recogniser.embed(changed))
            parts["id_dis"].append(distances)
            parts["psnr"].append(psnr(images, model.decrypt(features, keys)))
            parts["disease"].append(classifier.predict(changed).argmax(1))
        found = {name: np.concatenate(values) for name, values in parts.items()}
        resampling = {"seed": section.seed, "num_resamples": section.bootstrap}
        truth = np.array([DISEASES.index(name) for name in originals.diseases])
        told = top1(found["disease"], truth, DISEASES, **resampling)
        means = {n: mean_over_patients(found[n], originals.people, **resampling) for n in ("id_dis", "psnr")}
        return means | {"med_class": told["all"], "med_class_micro": told["micro"]}


def _sized(image: np.ndarray, size: int) -> np.ndarray:
    if image.shape[:2] == (size, size):
        return image
    interpolation = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=interpolation)


def document(plan: Matrix, found: dict[Arm, dict[str, Any]], params: Params) -> dict[str, Any]:
    """Return ablation.json: `rows` are Table 9's, `encoders` Table 10's, `sweeps` Fig. 8's."""
    section = params.evaluate_ablation
    sweeps = {"lambda_med": plan.lambda_med, "lambda_rev": plan.lambda_rev}
    return {
        "profile": params.profile,
        "rows": [
            {"model": name, "dataset": arm.dataset, "f_med": arm.f_med, "l_med": arm.l_med} | found[arm]
            for name, arm in plan.models.items()
        ],
        "encoders": [{"encoder": kind} | found[arm] for kind, arm in plan.encoders.items()],
        "sweeps": {
            weight: [{"value": value} | found[arm] for value, arm in arms.items()] for weight, arms in sweeps.items()
        },
        "full": asdict(full_model(params)),
        "steps": section.steps,
        "recogniser": Path(section.recogniser).stem,
        "notes": {
            "id_dis": "of X and X_enc, mean over images, bootstrap over donors",
            "med_class": "mean recall over the diseases of X_enc by the judge of Table 3; med_class_micro over images",
            "psnr": "dB, of X and X_hat",
            "steps": "every arm is trained for as many, which need not be train_deid's",
        },
    }


def run(mema: Path, public_faces: Path, medical: Path, judge: Path, plot: Path, metrics: Path, params: Params) -> int:
    """Train and measure every arm that params.yaml names; return the images seen in training."""
    section = params.evaluate_ablation
    names = section.model_dump(include={"models", "encoders", "lambda_med", "lambda_rev"})
    plan = matrix(full_model(params), **names)
    laboratory = Laboratory(mema, public_faces, medical, judge, params)
    arms, found = plan.arms(), {}
    for number, arm in enumerate(arms, 1):
        logging.info("%s: arm %d of %d, %s", STAGE, number, len(arms), arm.name)
        found[arm] = laboratory.measured(arm)
    made = document(plan, found, params)
    title = f"Fig. 8 on {params.profile} data, {section.steps} steps an arm"
    durable.write_bytes(plot, plot_sweeps(made["sweeps"], title))
    durable.write_json(metrics, made)
    shards.clear_scratch(STAGE)
    return len(arms) * section.steps * params.train_deid.batch_size


def main(
    mema: Annotated[Path, typer.Option(help="folder of MeMa's splits")],
    public_faces: Annotated[Path, typer.Option(help="shards of public faces, for M1")],
    medical_encoder: Annotated[Path, typer.Option(help="folder of the medical encoder")],
    judge: Annotated[Path, typer.Option(help="folder of the sign classifier")],
    plot: Annotated[Path, typer.Option(help="out: Fig. 8 as SVG")],
    metrics: Annotated[Path, typer.Option(help="out: Tables 9 and 10 and Fig. 8 as JSON")],
) -> None:
    """Train and measure the arms of the ablation."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(mema, public_faces, medical_encoder, judge, plot, metrics, params)


if __name__ == "__main__":
    stage.start(main)
