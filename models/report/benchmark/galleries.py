"""The pictures of the benchmark: every method on the same patients, and what the passwords give back."""

from collections.abc import Sequence

from models.diseases import DISEASE_NAMES
from models.report.benchmark.measured import OWN, BenchmarkGallery, Patient, method_name
from models.report.benchmark.signs import SIGNS
from models.report.markup import Markup, section, tag
from models.report.pictures import data_uri
from models.report.words import planned, plural

SHOWN_PX = 112
SHORT = {column.key: column.head for column in SIGNS}


def methods(gallery: BenchmarkGallery) -> Markup:
    """Return a row a method, a column a patient; the original stands on top."""
    rows = [_row("original", [one.original for one in gallery.patients], gallery.patients)]
    rows += [
        _row(method_name(name), [one.by_method.get(name) for one in gallery.patients], gallery.patients)
        for name in gallery.methods
    ]
    return section(
        "pictures",
        "Every method on the same patients",
        tag(
            "p",
            f"{plural(len(gallery.patients), 'image')} of MeMa val, one of each disease as readers named it: those "
            "that all readers named alike before others, donors' faces that differ, not chosen for their looks. "
            "Where something else was planned it stands below the name: either may be wrong. Every image is "
            "generated; nobody here exists.",
        ),
        _grid(gallery.patients, rows),
    )


def passwords(gallery: BenchmarkGallery) -> Markup:
    """Return X, X_enc, X_hat and X_wrong of the project's own method."""
    patients = gallery.patients
    rows = [
        _row("X, original", [one.original for one in patients], patients),
        _row("X_enc, de-identified", [one.by_method.get(OWN) for one in patients], patients),
        _row("X_hat, right password", [one.recovered for one in patients], patients),
        _row("X_wrong, wrong password", [one.wrong for one in patients], patients),
    ]
    return section(
        "passwords",
        "MedSem-DeID: there, back, and with a wrong password",
        tag("p", "X_hat should be X again. X_enc and X_wrong should be other people with the disease of X."),
        _grid(patients, rows),
    )


def _grid(patients: Sequence[Patient], rows: Sequence[Markup]) -> Markup:
    heads = (
        tag("th", SHORT.get(one.disease, one.disease), _planned(one), scope="col", title=DISEASE_NAMES.get(one.disease))
        for one in patients
    )
    head = tag("tr", tag("th", "", scope="col"), *heads)
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows), class_="faces-table"), class_="scroll")


def _planned(patient: Patient) -> Markup | None:
    other = planned(patient.disease, patient.planned_disease)
    return tag("span", other, class_="planned") if other else None


def _row(name: str, images: Sequence[bytes | None], patients: Sequence[Patient]) -> Markup:
    cells = (tag("td", _picture(name, image, one.disease)) for image, one in zip(images, patients, strict=True))
    return tag("tr", tag("th", name, scope="row"), *cells)


def _picture(name: str, image: bytes | None, disease: str) -> Markup:
    if image is None:
        return tag("span", "none", class_="weak")
    alt = f"{name}: generated face, {DISEASE_NAMES[disease]}"
    return tag("img", src=data_uri(image), alt=alt, width=SHOWN_PX, height=SHOWN_PX)
