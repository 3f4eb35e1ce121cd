"""What an ingest of patients says of its table: counts and headings for the metrics, one screen for a person."""

from collections import Counter
from pathlib import PurePosixPath

from models.photos.listing import Listing
from models.records.headings import as_shown
from models.records.reading import Table
from models.records.record import OPTIONAL, Record
from models.records.vocabulary import key


def of_the_table(table: Table, records: list[Record], unread: Counter[str], listing: Listing) -> dict:
    """Return the metrics of the table and its folder; none of them is a patient's."""
    values = {key(record.patient_id) for record in records} | {
        key(PurePosixPath(record.file).stem) for record in records
    }
    return {
        "lines": table.lines,
        "columns": {
            "used": {column.name: as_shown(column, values) for column in table.columns if column.name},
            "ignored": [as_shown(column, values) for column in table.columns if not column.name],
        },
        "not_understood": dict(unread),
        "refusals": sum(record.refuses for record in records),
        "other_files": listing.count_others(),
        "files_outside_glob": listing.num_outside,
    }


def account(summary: dict, table: Table) -> str:
    """Return what came in, what was kept, and why the rest was not, in one screen."""
    lines = ", ".join(f"{count} {kind}" for kind, count in summary["lines"].items())
    said = [
        f"{summary['in']} in = {summary['kept']} kept of {summary['patients']} patients"
        f" + {summary['quarantined']} quarantined",
        f"table: {sum(summary['lines'].values())} lines ({lines})" + (f"; {table.note}" if table.note else ""),
        "columns: " + ", ".join(f"{name} <- {heading}" for name, heading in summary["columns"]["used"].items()),
        f"ignored columns: {', '.join(summary['columns']['ignored']) or 'none'}",
    ]
    said += [
        f"not understood: {count} x {name}" + (f"; expected {OPTIONAL[name]}" if name in OPTIONAL else "")
        for name, count in sorted(summary["not_understood"].items())
    ]
    said += [f"{reason}: {count}" for reason, count in sorted(summary["reasons"].items())]
    said += [f"flagged {flag}: {count}" for flag, count in sorted(summary["flags"].items())]
    others = ", ".join(f"{count} {kind}" for kind, count in summary["other_files"].items())
    said += [f"beside the photos: {others}"] if others else []
    said.append("quarantine.parquet says for each the line, the column, what was found and what is expected")
    return "\n  ".join(said)
