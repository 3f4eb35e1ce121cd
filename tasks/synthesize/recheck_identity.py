"""Stage recheck_identity: the selected images against the patients, by a recogniser that had no part in the choice."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mema.params import Params, load
from mema.params.synthesize import RecheckIdentity
from mema.runtime import durable, shards, stage
from models.identity.screening import Embedded, Rule, floor_faults, judge
from tasks.works.measuring import embed_faces

STAGE = "recheck_identity"
RELEASED = "released"  # the arm: what was selected, and may leave


def refuse_a_screen(section: RecheckIdentity, screens: dict[str, str]) -> None:
    """Raise ValueError where the recogniser is one that screened, under whatever name or path."""
    own = durable.fingerprint(Path(section.recogniser))
    for name, path in screens.items():
        if durable.fingerprint(Path(path)) == own:
            raise ValueError(
                f"recheck_identity.recogniser: {section.recogniser} is {name}, which screened, so it would find nobody "
                "by construction; name another network"
            )


def run(selected: Path, patient_faces: Path, public_faces: Path, metrics: Path, params: Params) -> int:
    """Write how many of the selected images hit a patient, beside floor and ceiling; return their number.

    Raises ValueError, after the metrics are written, where the floor shows that the threshold means something else.
    """
    section = params.recheck_identity
    refuse_a_screen(section, params.screen_identity.recognisers)
    name, network = section.name, {section.name: Path(section.recogniser)}
    split, patients = embed_faces(patient_faces, "split", network, stage=STAGE, desc="patients")
    part, public = embed_faces(public_faces, "split", network, stage=STAGE, desc="public faces")
    arm, images = embed_faces(selected, "arm", network, stage=STAGE, desc="selected")
    for folder, found in ((patient_faces, patients), (public_faces, public), (selected, images)):
        if not found:
            raise ValueError(f"{folder}: holds no face; look at the stage that makes it")
    faces = Embedded(
        patients[name], split == "heldout", public[name][part == "calibration"], public[name][part == "floor"],
        images[name],
    )  # fmt: skip
    rule = Rule(**params.screen_identity.model_dump(include=set(Rule.__dataclass_fields__)))
    row = judge(faces, {RELEASED: np.ones(len(arm), bool)}, rule).row
    durable.write_json(metrics, {"recognisers": {name: row}})
    if faults := floor_faults({name: row}, rule.fpir):
        raise ValueError(
            f"recheck_identity: {faults[0]}; give more calibration faces (ingest_public.calibration_share), or other "
            "public faces, which must be like those of the floor"
        )
    return len(arm)


def main(
    selected: Annotated[Path, typer.Option(help="shards of the images selected")],
    patient_faces: Annotated[Path, typer.Option(help="shards of patients' faces")],
    public_faces: Annotated[Path, typer.Option(help="shards of public faces")],
    metrics: Annotated[Path, typer.Option(help="out: the rates as JSON")],
) -> None:
    """Ask a recogniser that did not screen whether a selected image resembles a patient."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(selected, patient_faces, public_faces, metrics, params)


if __name__ == "__main__":
    stage.start(main)
