"""Stage screen_identity: samples against every patient photo; kept, rejected with a reason, and Table 1."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from mema.params import load
from mema.params.synthesize import ScreenIdentity
from mema.runtime import durable, shards, stage
from models.identity.screening import Embedded, Rule, Verdict, floor_faults, judge, reasons
from models.statistics.leakage import average_rate, drawn_interval
from tasks import schemas
from tasks.works.measuring import embed_faces

STAGE = "screen_identity"
ARMS = ("direct", "injected")  # the columns of Table 1


def verdicts(samples: Path, patient_faces: Path, public_faces: Path, section: ScreenIdentity) -> dict[str, Verdict]:
    """Return each recogniser's verdict on the samples."""
    recognisers = {name: Path(path) for name, path in section.recognisers.items()}
    if not recognisers:
        raise ValueError(f"{STAGE}.recognisers: none named; name at least one, such as arcface: path to its ONNX")
    patient_split, patients = embed_faces(patient_faces, "split", recognisers, stage=STAGE, desc="patients")
    public_split, public = embed_faces(public_faces, "split", recognisers, stage=STAGE, desc="public faces")
    arm, sampled = embed_faces(samples, "arm", recognisers, stage=STAGE, desc="samples")
    for folder, embedded in ((patient_faces, patients), (public_faces, public), (samples, sampled)):
        if not embedded:
            raise ValueError(f"{folder}: holds no face, so nothing can be screened; look at the stage that makes it")
    rule = Rule(**section.model_dump(include=set(Rule.__dataclass_fields__)))
    found = {}
    for name in recognisers:
        faces = Embedded(
            patients=patients[name],
            held_out=patient_split == "heldout",
            calibration=public[name][public_split == "calibration"],
            floor=public[name][public_split == "floor"],
            samples=sampled[name],
        )
        found[name] = judge(faces, {a: arm == a for a in ARMS}, rule)
    return found


def average(found: Mapping[str, Verdict], arm: str, confidence: float) -> dict:
    """Return the recognisers' mean rate of an arm; its interval keeps that they judge by the same people."""
    rate = average_rate([verdict.row[arm] for verdict in found.values()], confidence)
    draws = [verdict.draws[arm] for verdict in found.values() if arm in verdict.draws]
    return rate | {"ci95": drawn_interval(np.mean(draws, axis=0), confidence)} if draws else rate


def table_1(found: Mapping[str, Verdict], reason: list[str], confidence: float) -> dict:
    """Return the metrics: a row per recogniser, their average, and what became of the samples."""
    rows = {name: verdict.row for name, verdict in found.items()}
    rejected = Counter(filter(None, reason))
    return {
        "recognisers": rows,
        "average": {arm: average(found, arm, confidence) for arm in (*ARMS, "floor", "ceiling")},
        "worst": {arm: max(rows, key=lambda name: rows[name][arm]["rate"] or 0.0) for arm in (*ARMS, "floor")},
        "screened": {
            "n": len(reason),
            "kept": len(reason) - rejected.total(),
            "rejected": rejected.total(),
            "reasons": dict(rejected),
        },
    }


def screened_parts(samples: Path, found: Mapping[str, Verdict], reason: list[str], *, keep: bool) -> Iterator[pa.Table]:
    """Yield each shard of samples with reason and similarities, either what is kept or what is not."""
    schema, start = schemas.screened(list(found)), 0
    for file in shards.shard_files(samples):
        table = pq.ParquetFile(file).read()
        rows = slice(start, start + table.num_rows)
        table = table.append_column("reason", pa.array(reason[rows], pa.string()))
        for name, verdict in found.items():
            table = table.append_column(f"similarity_{name}", pa.array(verdict.similarity[rows], pa.float32()))
        start = rows.stop
        chosen = pa.array([(text == "") == keep for text in reason[rows]], pa.bool_())
        yield table.filter(chosen).cast(schema)


def run(
    samples: Path, patient_faces: Path, public_faces: Path, screened: Path, metrics: Path, section: ScreenIdentity
) -> int:
    """Screen every sample and write Table 1, kept/ and rejected/; return the number of samples.

    Raises ValueError, after Table 1 is written, where a floor shows that a threshold is not what it was set for.
    """
    found = verdicts(samples, patient_faces, public_faces, section)
    reason = reasons(found)
    durable.write_json(metrics, table_1(found, reason, section.confidence))
    if faults := floor_faults({name: verdict.row for name, verdict in found.items()}, section.fpir):
        raise ValueError(
            f"screen_identity.fpir: {'; '.join(faults)}. The calibration faces are too few or of another kind than the "
            "floor's: add public faces, raise ingest_public.calibration_share, or look at what differs between them"
        )
    for name, keep in (("kept", True), ("rejected", False)):
        shards.write_parts(screened_parts(samples, found, reason, keep=keep), screened / name)
    return len(reason)


def main(
    samples: Annotated[Path, typer.Option(help="shards of samples")],
    patient_faces: Annotated[Path, typer.Option(help="shards of patients' faces")],
    public_faces: Annotated[Path, typer.Option(help="shards of public faces")],
    screened: Annotated[Path, typer.Option(help="out: kept/ and rejected/ shards")],
    metrics: Annotated[Path, typer.Option(help="out: Table 1 as JSON")],
) -> None:
    """Screen the samples for resemblance to any patient."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(samples, patient_faces, public_faces, screened, metrics, params.screen_identity)


if __name__ == "__main__":
    stage.start(main)
