"""The page on MeMa as it was read: what is in it, who decided, how far readers agree, and what that says not."""

from pathlib import Path

from models.report.dataset import dataset
from models.report.markup import Markup, bullets, fragment, section, tag
from models.report.readers import galleries as reader_galleries
from models.report.readers.agreement import agreement, outlines
from models.report.readers.measured import ReadersGallery, ReadersMeasured
from models.report.words import count, percent, plural

STYLES = (Path(__file__).parents[1] / "style.css", Path(__file__).with_name("readers.css"))
CONTENTS = {
    "dataset": "Classes and splits",
    "examples": "Examples",
    "decided": "Who decided",
    "disputed": "Disagreements",
    "agreement": "Agreement",
    "outlines": "Outlines",
    "seg": "MeMa-Seg",
    "unusable": "Unusable",
    "limits": "Limits",
}
SOURCES = {"simulated": "Simulated readers", "label_studio": "Read by people, in Label Studio"}
SIMULATED = (
    "The readers were simulated: programs that err at known rates. Agreement here shows that the calculation "
    "is right; it says nothing about clinicians."
)
IMAGES = {
    "phantom": "The images are drawings by a small generator of phantoms; nobody here exists.",
    "photos": "The generator draws phantoms; nobody here exists.",
    "paper": "Every image is generated; no patient is shown.",
}
OF_SIMULATED = (
    "Simulated readers take the plan's disease for the truth and a first mask for the tumour. So agreement with "
    "the plan, Dice and untouched masks follow from their settings, not from what can be seen in the images.",
    "Their errors are independent of one another. People err on the same hard images, and a kappa that is high "
    "for this reason shows no correctness.",
)
OF_PEOPLE = (
    "These readers, these images: other clinicians, or the same after a year, may agree less or more.",
    "Readers who learnt at one place may share its errors; what all of them get wrong counts as agreement.",
)
LIMITS = (
    "Agreement is not correctness. No biopsy and no examination stands behind a label: it is what most readers, "
    "or one senior, saw in a generated picture.",
    "Kappa depends on how often a disease occurs: a rare one gets a lower kappa and a wide interval at equal "
    "skill. Compare intervals, not values, and no kappa with that of another set.",
    "The kappas of diseases leave out what any reader rejected, often the hardest images: on all images the "
    "readers may agree less.",
    "A mask left untouched may be right, or good enough, or a sign of a tired reader.",
    "Hidden repeats are few and lie within one reading: they show attention, not what a reader would say in a year.",
    "Select and val have the same readers and the same generator as train. A model that does well there has "
    "learnt this set; how it does on photographs of patients is unknown.",
    "Whether a face resembles a patient is the matter of the other report, data/report.",
)


def page(measured: ReadersMeasured, gallery: ReadersGallery) -> Markup:
    """Return the whole document; equal inputs give equal text."""
    links = [tag("a", name, href=f"#{anchor}") for anchor, name in CONTENTS.items()]
    body = [
        opening(measured),
        tag("nav", *links, aria_label="Contents"),
        tag(
            "main",
            dataset.classes(measured),
            reader_galleries.examples(gallery),
            dataset.decided(measured),
            reader_galleries.disputed(gallery),
            agreement(measured),
            outlines(measured),
            reader_galleries.outlined(gallery),
            dataset.unusable(measured),
            limits(measured),
        ),
        tag("footer", tag("p", f"{SOURCES[measured.readers['source']]}. Every figure stands in data/metrics.")),
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", measured.title),
        tag("style", Markup("".join(style.read_text() for style in STYLES))),
    )
    return fragment([Markup("<!doctype html>\n"), tag("html", head, tag("body", *body), lang="en"), Markup("\n")])


def opening(measured: ReadersMeasured) -> Markup:
    """Return title, what MeMa is now, whether people read, and the key figures."""
    simulated = measured.simulated
    return tag(
        "header",
        tag("p", SOURCES[measured.readers["source"]], class_="label"),
        tag("h1", measured.title),
        tag("p", holdings(measured), class_="lead"),
        tag("p", SIMULATED if simulated else agreed(measured), class_=f"verdict {'open' if simulated else 'shown'}"),
        tag("div", *(_tile(*tile) for tile in _tiles(measured)), class_="tiles"),
        tag("p", IMAGES[measured.profile], class_="weak"),
    )


def holdings(measured: ReadersMeasured) -> str:
    """Say in one sentence what MeMa is."""
    images, seg = measured.assemble["mema"]["images"], measured.assemble["mema_seg"]
    splits = (
        f"{count(images['train'])} to train, {count(images['select'])} to select and {count(images['val'])} "
        "to validate a model"
    )
    people = ("simulated " if measured.simulated else "") + "reader"
    outlined = f"{plural(seg['train']['images'], 'image')} of train and {count(seg['val']['images'])} of val"
    return (
        f"MeMa now holds {plural(sum(images.values()), 'labelled face')}, all generated, in three splits "
        f"({splits}), read by {plural(len(measured.names), people)}; MeMa-Seg is made "
        f"of {outlined}, each with an outlined tumour."
    )


def agreed(measured: ReadersMeasured) -> str:
    """Say how far the readers agree on the diseases."""
    overall = measured.readers["fleiss"]["overall"]
    if overall["value"] is None:
        return f"How far the readers agree is unknown: {overall['why']}."
    interval = " to ".join(f"{edge:.2f}" for edge in overall["ci95"] or ())
    known = f" (95 % interval {interval})" if interval else ""
    return f"On the disease the readers agree with a Fleiss' kappa of {overall['value']:.2f}{known}."


def _tiles(measured: ReadersMeasured) -> list[tuple[str, str, str]]:
    found, overall = measured.assemble, measured.readers["fleiss"]["overall"]
    seg, unusable = found["mema_seg"], measured.annotations["unusable"]
    out, decided = sum(found["excluded"].values()), found["decided_by"]
    interval = overall.get("ci95")
    kappa = "-" if overall["value"] is None else f"{overall['value']:.2f}"
    return [
        (count(sum(found["mema"]["images"].values())), "images in MeMa", f"of {count(found['selected'])} selected"),
        (count(out), "left out", "reasons under Who decided"),
        (count(seg["train"]["images"] + seg["val"]["images"]), "outlines in MeMa-Seg", seg["consensus"]),
        (kappa, "Fleiss' kappa, disease", "{:.2f} to {:.2f}".format(*interval) if interval else ""),
        (count(decided.get("senior", 0)), "decided by the senior", f"of {count(sum(decided.values()))}"),
        (percent(unusable["share"]), "unusable annotations", f"{count(unusable['total'])} in the exports"),
    ]


def _tile(figure: str, name: str, detail: str) -> Markup:
    return tag("div", tag("b", figure), tag("span", name), tag("small", detail) if detail else None, class_="tile")


def limits(measured: ReadersMeasured) -> Markup:
    """Return what the figures do not say."""
    own = OF_SIMULATED if measured.simulated else OF_PEOPLE
    return section("limits", "What these figures do not say", bullets([*own, *LIMITS]))
