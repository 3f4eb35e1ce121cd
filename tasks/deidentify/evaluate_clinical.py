"""`python -m tasks.deidentify.evaluate_clinical`: diagnoses of original and de-identified images -> Table 4.

No stage: its input is what people say of photographs that only a hospital has. Two ways in, which may be mixed:

- a CSV with the columns image_id, method, reader, diagnosis, one row a diagnosis; `method` is "original" for the
  photograph itself, `diagnosis` one of evaluate_clinical.diseases;
- exports of Label Studio (JSON), whose tasks carry `image_id` and `method` in their data, and whose annotations
  answer the control `disease`. Readers are the accounts that completed the annotations.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from mema.params import load
from mema.params.deidentify import EvaluateClinical
from mema.runtime import durable, stage
from models.statistics.clinical import Diagnosis, clinical_rows, decisions

COLUMNS = ("image_id", "method", "reader", "diagnosis")
CONTROL = "disease"


def read_csv(path: Path) -> list[Diagnosis]:
    """Return the rows of a CSV; raises ValueError naming the file, the line and what is missing."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = set(COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: lacks the columns {', '.join(sorted(missing))}; needed: {', '.join(COLUMNS)}")
        found = []
        for line, row in enumerate(reader, 2):
            values = [(row[name] or "").strip() for name in COLUMNS]
            if not all(values):
                empty = [name for name, value in zip(COLUMNS, values, strict=True) if not value]
                raise ValueError(f"{path}, line {line}: {', '.join(empty)} is empty; fill it in or drop the row")
            found.append(Diagnosis(*values))
    return found


def read_label_studio(path: Path) -> list[Diagnosis]:
    """Return the diagnoses of a JSON export; skipped and unanswered tasks say nothing, the latest answer counts."""
    try:
        tasks = json.loads(path.read_text())
        return [diagnosis for task in tasks for diagnosis in _of_task(task)]
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: no export of Label Studio whose tasks carry image_id and method ({type(error).__name__})"
        ) from None


def _of_task(task: Any) -> Iterable[Diagnosis]:
    said: dict[str, str] = {}
    for annotation in sorted(task.get("annotations") or [], key=lambda a: str(a.get("updated_at") or "")):
        if annotation.get("was_cancelled"):
            continue
        chosen = [c for item in annotation["result"] if item["from_name"] == CONTROL for c in item["value"]["choices"]]
        if len(chosen) == 1:
            said[_account(annotation["completed_by"])] = chosen[0]
    data = task["data"]
    return [Diagnosis(str(data["image_id"]), str(data["method"]), who, what) for who, what in said.items()]


def _account(completed_by: Any) -> str:
    return str(completed_by.get("id") if isinstance(completed_by, dict) else completed_by)


def run(files: list[Path], metrics: Path, section: EvaluateClinical, data: str) -> None:
    """Write Table 4; raises ValueError on an unknown diagnosis or where nothing can be compared."""
    diagnoses: list[Diagnosis] = []
    for path in files:
        diagnoses += (read_label_studio if path.suffix == ".json" else read_csv)(path)
    unknown = {one.disease for one in diagnoses} - set(section.diseases)
    if unknown:
        raise ValueError(
            f"diagnosis: {', '.join(sorted(unknown))} not in evaluate_clinical.diseases "
            f"({', '.join(section.diseases)}); correct it, or add it there"
        )
    decided = decisions(diagnoses, section.num_readers)
    if not any(decided.values()):
        raise ValueError(
            f"evaluate_clinical.num_readers: no image has {section.num_readers} diagnoses; lower it or wait for them"
        )
    rows = clinical_rows(decided, section.diseases, num_resamples=section.bootstrap, seed=section.seed)
    note = "Cohen's kappa of the readers' majority on original and de-identified images, each disease against the rest"
    durable.write_json(metrics, {"data": data, "num_readers": section.num_readers, "rows": rows, "note": note})


def main(
    files: Annotated[list[Path], typer.Argument(help="CSV files, or JSON exports of Label Studio", exists=True)],
    metrics: Annotated[Path, typer.Option(help="out: Table 4 as JSON")] = Path("data/metrics/clinical.json"),
    data: Annotated[str, typer.Option(help="on which images, for the report")] = "not stated",
) -> None:
    """Compare what physicians see in de-identified images with what they see in the originals."""
    run(files, metrics, load(Path("params.yaml")).evaluate_clinical, data)


if __name__ == "__main__":
    stage.start(main)
