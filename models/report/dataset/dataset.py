"""The sections of counts: classes by split, what is left out, who decided, and what was unusable."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.annotation.adjudication import DISEASE_SPLIT, MAJORITY, QUALITY_TIE, SENIOR, TOO_FEW_VOTES, UNANIMOUS
from models.diseases import DISEASE_NAMES, DISEASES
from models.report.markup import Markup, fragment, section, tag
from models.report.readers.measured import ReadersMeasured
from models.report.words import NOTHING, count, percent, plural

SPLITS = ("train", "select", "val")
EXCLUDED = {
    "low_quality": "rejected: low medical quality",
    "no_votes": "nobody has read it",
    TOO_FEW_VOTES: "read by half of the readers or fewer",
    QUALITY_TIE: "undecided on the quality, and no senior's vote",
    DISEASE_SPLIT: "undecided on the disease, and no senior's vote",
}
DECIDED = {UNANIMOUS: "all readers alike", MAJORITY: "most readers", SENIOR: "the senior"}
UNUSABLE = {
    "task_deleted": "the task was deleted in Label Studio",
    "unknown_task": "a task that nobody planned",
    "not_a_reader": "by an account that is not this reader's",
    "duplicate_annotation": "a second annotation of one task: the last counts",
    "empty_submit": "submitted without an opinion",
    "unknown_label": "a label that the interface does not have",
    "mask_size": "a mask of another size than the image",
    "rotated_image": "a mask on a rotated image",
    "rle_damaged": "a mask whose run lengths are damaged",
    "malformed": "not readable at all",
}


def classes(measured: ReadersMeasured) -> Markup:
    """Return the counts of each class in each split, and how far each is from its exact share."""
    found, proportions = measured.assemble["mema"], measured.assemble["proportions"]
    whole, by_class = sum(found["images"].values()), found["classes"]
    rows = [_class_row(name, by_class[name], whole) for name in DISEASES if name in by_class]
    absent = [DISEASE_NAMES[name] for name in DISEASES if name not in by_class]
    ratio = " : ".join(count(proportions[name]) for name in SPLITS)
    total = ("all", *(count(found["images"][name]) for name in SPLITS), count(whole), "")
    return section(
        "dataset",
        "Classes and splits",
        tag(
            "p",
            f"Stratified by disease, in the proportions {ratio}. No donor's face is in two splits, so a class "
            "cannot always be cut exactly: in grey, by how many images a count is above or below its exact "
            f"share. The largest distance is {found['deviation']:.2f} images.",
        ),
        with_total(("disease", *SPLITS, "all", "share"), rows, total),
        tag("p", f"In no split: {', '.join(absent)}.", class_="finding") if absent else None,
    )


def _class_row(name: str, by_split: Mapping[str, Any], whole: int) -> tuple[object, ...]:
    number = sum(by_split[split]["images"] for split in SPLITS)
    cells = (_cell(by_split[split]) for split in SPLITS)
    return DISEASE_NAMES[name], *cells, count(number), percent(number / whole)


def _cell(cell: Mapping[str, Any]) -> Markup:
    off = f"{cell['off']:+.1f}" if abs(cell["off"]) >= 0.05 else "0.0"
    off = off.replace("-", "\u2212")
    return fragment([count(cell["images"]), tag("span", off, class_="off")])


def with_total(
    columns: Sequence[str], rows: Sequence[Sequence[object]], total: Sequence[object], class_: str | None = None
) -> Markup:
    """Return a table whose last row is the sum of the others."""
    head = tag("tr", *(tag("th", column, scope="col") for column in columns))
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    last = tag("tr", tag("th", total[0], scope="row"), *(tag("td", c) for c in total[1:]), class_="total")
    return tag("table", tag("thead", head), tag("tbody", *body, last), class_=class_)


def decided(measured: ReadersMeasured) -> Markup:
    """Return by whom images were decided, and why others are not in MeMa."""
    found = measured.assemble
    verdicts = {words: found["decided_by"].get(name, 0) for name, words in DECIDED.items()}
    excluded = {words: found["excluded"][name] for name, words in EXCLUDED.items()}
    return section(
        "decided",
        "Who decided, and what is left out",
        tag(
            "p",
            "More than half of the readers decide, first whether an image is usable, then on its disease. Where "
            "there is no such half, a senior reader's vote stands.",
        ),
        tag(
            "div",
            _shares(f"Decided by ({plural(sum(verdicts.values()), 'image')}, the rejected among them)", verdicts),
            _shares(f"Left out of MeMa (of {plural(found['selected'], 'image')})", excluded, found["selected"]),
            class_="two",
        ),
    )


def _shares(caption: str, counts: Mapping[str, int], whole: int | None = None) -> Markup:
    total = sum(counts.values())
    of = total if whole is None else whole
    rows = [(name, count(n), percent(n / of) if of else NOTHING) for name, n in counts.items()]
    columns, last = ("", "number", "share"), ("all", count(total), percent(total / of) if of else NOTHING)
    table = with_total(columns, rows, last)
    return tag("div", tag("h3", caption), table)


def unusable(measured: ReadersMeasured) -> Markup:
    """Return what of the exports counts nowhere, and what is missing from them."""
    found = measured.annotations
    bad, never = found["unusable"], found["images_never_pushed"]
    rows = {words: bad["reasons"].get(name, 0) for name, words in UNUSABLE.items()}
    rows |= {name: n for name, n in bad["reasons"].items() if name not in UNUSABLE}
    rows = {words: number for words, number in rows.items() if number}
    damaged = found["proposals"]["unreadable_lines"]
    return section(
        "unusable",
        "What was unusable in the exports",
        tag(
            "p",
            f"Of {plural(found['tasks'], 'task')}, {count(found['votes'])} gave an opinion that counts, "
            f"{count(found['skipped'])} were skipped by the reader, {count(found['missing'])} have no answer yet.",
        ),
        tag("p", _unusable_share(bad), class_="finding"),
        _shares("Reasons", rows) if rows else None,
        tag("p", f"{plural(never, 'selected image')} never reached a reader.") if never else None,
        tag("p", f"{plural(damaged, 'line')} of the log of proposals could not be read: masks from "
            "them count as drawn by hand.") if damaged else None,
    )  # fmt: skip


def _unusable_share(bad: Mapping[str, Any]) -> str:
    if not bad["total"]:
        return "Nothing was unusable."
    return (
        f"{plural(bad['total'], 'answer')} could not be used, {percent(bad['share'])} of what came in. Each "
        "stands with its reason in data/annotations/unusable.parquet."
    )
