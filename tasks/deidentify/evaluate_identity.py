"""Stage evaluate_identity: whether faces can still be recognised (Tables 5 and 6), by networks no training used.

A *patient* is a donor here: MeMa's images are synthetic, and the one real identity in an image is that of the public
face that was injected. The ID photo of Table 6 is that public face; it was taken another time than the "clinical"
image was generated, so its match rate is far below 1 even for images that nobody changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from mema.params import load
from mema.params.deidentify import EvaluateIdentity
from mema.runtime import durable, shards, stage
from models.diffusion.generator import file_sha256
from models.identity.recogniser import load_recogniser
from models.identity.search import cosines
from models.statistics.identity_distance import identity_distance, match_rate, mean_over_patients
from models.statistics.verification import Pairs, draw_pairs, verification_accuracy
from tasks.deidentify.evaluation import Originals, describe_row, measure_images, methods_of, read_originals
from tasks.works.measuring import Recognised, Values
from tasks.works.pseudonyms import Pseudonyms, pseudonyms

STAGE = "evaluate_identity"
DONOR = "donor_pseudonym"
COMPARED_IMAGES = 32  # on how many images two recognisers are told apart
SAME_NETWORK = 1e-3  # largest difference of any cosine between networks that are one and the same


def check_held_out(
    originals: Originals,
    training: Mapping[str, pa.Table],
    loss_recogniser: Path,
    recognisers: Mapping[str, Path],
    names: Pseudonyms,
) -> dict[str, Any]:
    """Return what was compared, or raise ValueError: nothing that judges may have been trained against.

    `training` holds the rows of every training set with image_id and, where it has donors, donor_pseudonym; of
    public faces the image_id is the donor. An empty or missing set is an error too. A recogniser is the loss's if its
    file is the same, or if it sees the same similarities between validation images whatever its file is.
    """
    images, donors = set(originals.image_ids), set(originals.people)
    compared = {}
    for name, table in training.items():
        if not table.num_rows or "image_id" not in table.column_names:
            raise ValueError(f"{STAGE}: training set {name!r} has no image_id, so nothing can be proven")
        ids = set(table["image_id"].to_pylist())
        faces = set(names.of(sorted(ids)))
        people = set(table[DONOR].to_pylist()) if DONOR in table.column_names else faces
        for what, shared in (("images", images & ids), ("donors", donors & (people | faces))):
            if shared:
                raise ValueError(
                    f"{STAGE}: {len(shared)} validation {what} are in the training set {name!r}; run assemble again"
                )
        compared[name] = {"images": len(ids), "donors": len(people)}
    if not compared:
        raise ValueError(f"{STAGE}: no training set given, so nothing can be proven")
    _check_recognisers(originals, loss_recogniser, recognisers)
    return {"images": len(images), "donors": len(donors), "training": compared, "shared": 0}


def _check_recognisers(originals: Originals, loss: Path, recognisers: Mapping[str, Path]) -> None:
    """Raise ValueError where a recogniser is the loss's, by its file or by what it says of faces."""
    if not loss.is_file():
        raise ValueError(f"train_deid.loss_recogniser: no file {loss}, so it cannot be told from the others")
    digest, images = file_sha256(loss), originals.images(originals.image_ids[:COMPARED_IMAGES])
    trained = load_recogniser(loss).embed(images)
    for name, path in recognisers.items():
        same_file = path.is_file() and file_sha256(path) == digest
        if same_file or _alike(load_recogniser(path).embed(images), trained):
            raise ValueError(
                f"evaluate_identity.recognisers.{name}: {path} is train_deid.loss_recogniser "
                f"({'the same file' if same_file else 'the same network'}); name one that no training used"
            )


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    # Cosines between images do not change under a rotation of the embeddings, as another export might make one.
    return bool(np.abs(a @ a.T - b @ b.T).max() < SAME_NETWORK)


@dataclass(frozen=True, eq=False)
class World:
    """What every method is compared with: embeddings of originals and gallery, and the pairs."""

    originals: Originals
    recognisers: dict[str, Path]
    embeddings: Values
    gallery: Values
    gallery_people: list[str]
    pairs: Pairs
    section: EvaluateIdentity


def read_world(mema: Path, public_faces: Path, section: EvaluateIdentity, names: Pseudonyms) -> World:
    """Embed the originals and the gallery, each image decoded once for all recognisers.

    `names` are those of the release that `mema` is: else no donor is known among the public faces (ValueError).
    """
    originals = read_originals(mema)
    recognisers = {name: Path(path) for name, path in section.recognisers.items()}
    ids = shards.read_table(public_faces, columns=["image_id"])["image_id"].to_pylist()
    gallery = dict(zip(ids, names.recognise(ids, originals.people), strict=True))
    if not section.other_public_faces:
        donors = set(originals.people)
        gallery = {face: person for face, person in gallery.items() if person in donors}
    pairs = draw_pairs(originals.people, seed=section.seed, num_folds=section.num_folds)
    return World(
        originals,
        recognisers,
        _embed(originals.folder, originals.image_ids, recognisers, "originals"),
        _embed(public_faces, list(gallery), recognisers, "gallery"),
        list(gallery.values()),
        pairs,
        section,
    )


def _embed(folder: Path, image_ids: Sequence[str], recognisers: Mapping[str, Path], desc: str) -> Values:
    return measure_images(
        folder, image_ids, Recognised(recognisers), networks=list(recognisers.values()), stage=STAGE, desc=desc
    )


def identity_row(folder: Path, world: World) -> dict[str, Any]:
    """Return one method's row: id_dis, verification_accuracy, match_rate and match_rate_originals by recogniser."""

    made = _embed(folder, world.originals.image_ids, world.recognisers, folder.name)
    row: dict[str, Any] = describe_row(folder)
    for column in ("id_dis", "verification_accuracy", "match_rate", "match_rate_originals"):
        row[column] = {name: _measured(column, name, made[name], world) for name in world.recognisers}
    return row


def _measured(column: str, name: str, made: np.ndarray, world: World) -> dict[str, Any]:
    section, people, pairs = world.section, world.originals.people, world.pairs
    original = world.embeddings[name]
    if column == "id_dis":
        return mean_over_patients(
            identity_distance(original, made), people, seed=section.seed,
            num_resamples=section.bootstrap, confidence=section.confidence,
        )  # fmt: skip
    if column == "verification_accuracy":
        similarity = cosines(original[pairs.original], made[pairs.other])
        return verification_accuracy(similarity, pairs, confidence=section.confidence)
    if column == "match_rate":
        return match_rate(made, people, world.gallery[name], world.gallery_people, confidence=section.confidence)
    return match_rate(made, people, original, people, confidence=section.confidence)


def notes(world: World) -> dict[str, Any]:
    """Return what the figures stand for."""
    return {
        "id_dis": "Euclidean distance of L2-normalised features; 0 the same, 1.414 orthogonal; mean over images",
        "ci95": "id_dis: bootstrap over donors; rates: Wilson, taking images as independent",
        "patient": "a donor: the public face whose identity was injected into the image",
        "match_rate": (
            f"rank 1 among {len(world.gallery_people)} public faces, the donors' ID photos among them "
            f"({len(set(world.originals.people))} donors)"
        ),
        "match_rate_originals": "rank 1 among the unchanged validation images; right if the donor is the same",
        "verification_accuracy": (
            f"LFW protocol, {world.pairs.num_folds} folds without a shared donor, {len(world.pairs.same)} pairs of "
            "an original and a de-identified image"
        ),
    }


def run(
    mema: Path,
    public_faces: Path,
    deidentified: Path,
    metrics: Path,
    section: EvaluateIdentity,
    loss_recogniser: Path,
    names: Pseudonyms,
    profile: str,
) -> int:
    """Prove that nothing was trained on what judges, then write a row per method; return the number of images."""
    originals = read_originals(mema)
    columns = ["image_id", DONOR]
    training = {split: shards.read_table(mema / split, columns=columns) for split in ("train", "select")}
    paths = {name: Path(path) for name, path in section.recognisers.items()}
    held_out = check_held_out(originals, training, loss_recogniser, paths, names)
    world = read_world(mema, public_faces, section, names)
    rows = [identity_row(deidentified / name, world) for name in methods_of(deidentified)]
    document = {"profile": profile, "rows": rows, "held_out": held_out, "notes": notes(world)}
    durable.write_json(metrics, document)
    return len(originals.image_ids) * len(rows)


def main(
    mema: Annotated[Path, typer.Option(help="folder of MeMa's splits")],
    public_faces: Annotated[Path, typer.Option(help="shards of public faces, the donors among them")],
    deidentified: Annotated[Path, typer.Option(help="a folder of shards per method")],
    metrics: Annotated[Path, typer.Option(help="out: Tables 5 and 6 as JSON")],
) -> None:
    """Measure how far every method hides who it is."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(
            mema, public_faces, deidentified, metrics, params.evaluate_identity,
            Path(params.train_deid.loss_recogniser), pseudonyms(params.release, params.release_key), params.profile,
        )  # fmt: skip


if __name__ == "__main__":
    stage.start(main)
