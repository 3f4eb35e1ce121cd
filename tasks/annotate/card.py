"""The data card, README.md in a released folder: tells people what the set is and `datasets` where its splits lie."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from mema.params.hospital import Release
from models.diseases import DISEASE_NAMES, DISEASES
from tasks import schemas

NOT_CHOSEN = "not chosen yet; until the publishing hospital names it, nothing may be passed on"
TAGS = ["synthetic", "medical", "faces", "ophthalmology", "de-identification"]
CITATION = """@misc{tian-mema,
  title  = {Medical Manifestation-Aware De-Identification},
  author = {Tian, Yuan and Wang, Shuo and Zhai, Guangtao},
  note   = {The paper that this set's method follows; the pictures are not the paper's}
}"""
FACES = {
    "phantom": "Phantoms: a small generator that has seen nothing but drawings drew them. They test programs and say "
    "nothing about medicine.",
    "photos": "Drawn faces: a small generator, tuned on photographs of people wearing simulated signs, drew them. They "
    "test programs and say nothing about medicine.",
    "paper": "Photograph-like faces: a generator tuned on a hospital's patients drew them, each with features of a "
    "public face.",
}
READERS = {
    True: "The readers were simulated by a program of known skill: no physician has seen this set.",
    False: "The publishing hospital named the readers; each read alone, under an alias.",
}
IS_NOT = (
    "No picture of anybody, and no measurement of any patient: counts of diseases, ages and genders follow what was "
    "planned.",
    "No diagnosis and no standard to diagnose by.",
    "Not proven anonymous. Faces that recognisers found too near to a patient were taken out; another recogniser, or "
    "somebody who knows the patient, may still find one.",
    "Not made to train face recognition, nor to look for patients or donors, and not to be used so.",
)
LIMITS = (
    "Labels are readers' opinions. Where they differ from the plan, neither is the truth: the generator may have "
    "failed, or the readers.",
    "Planned age and gender are those that a donor was chosen for; the generated face may look otherwise.",
    "Faces of one donor resemble each other. No donor is in two splits; who splits the set anew keeps a donor's images "
    "together by `donor_pseudonym`.",
    "A pseudonym hides the donor's id from who lacks the release's key. It does not hide the donor from who holds the "
    "public faces and compares pictures.",
    "Masks exist where more than half of the readers outlined a tumour; an image without one is not free of tumours.",
)


def mema_card(found: Mapping[str, Any], release: Release, profile: str) -> str:
    """Return MeMa's card; `found` are the figures of assemble.json."""
    differ = found["mema"]["differ_from_plan"]
    sizes = found["mema"]["images"]
    words = (
        "Synthetic patient faces with one of eight conditions of the eye and its surroundings, as readers named them, "
        "with every reader's vote, and outlines of tumours.",
        f"{sum(differ.values())} of {sum(sizes.values())} labels differ from what the generator was asked for "
        f"({_listed(differ)}); `planned_disease` tells which.",
    )
    counts = {
        disease: {split: cell["images"] for split, cell in by_split.items()}
        for disease, by_split in found["mema"]["classes"].items()
    }
    masks = [
        f"{DISEASE_NAMES[disease]}: {n['with_mask']} of {n['images']} images have a mask, {n['outlined']} were "
        "outlined by at least one reader"
        for disease, n in found["masks"].items()
    ]
    example = _example("mema", "train", 'print(names.int2str(face["disease"]), face["image"].size, face["votes"])')
    return _card("MeMa", words, sizes, counts, schemas.MEMA, masks, example, found, release, profile)


def mema_seg_card(found: Mapping[str, Any], release: Release, profile: str) -> str:
    """Return MeMa-Seg's card."""
    seg = found["mema_seg"]
    sizes = {name: seg[name]["images"] for name in ("train", "val")}
    words = (
        f"Images of MeMa with {DISEASE_NAMES[seg['disease']]} and the outline of the tumour, each in the split that it "
        f"has in MeMa. Outlines are the readers' consensus ({seg['consensus']}).",
    )
    example = _example("mema_seg", "train", 'print(names.int2str(face["disease"]), face["mask"].size)')
    counts = {seg["disease"]: sizes}
    return _card("MeMa-Seg", words, sizes, counts, schemas.MEMA_SEG, [], example, found, release, profile)


def _example(folder: str, split: str, last: str) -> str:
    return f"""from datasets import load_dataset

data = load_dataset("data/{folder}")  # the folder that this file lies in
print(data)
face = data["{split}"][0]
names = data["{split}"].features["disease"]
{last}"""


def _card(
    title: str,
    words: Sequence[str],
    sizes: Mapping[str, int],
    counts: Mapping[str, Mapping[str, int]],
    schema: pa.Schema,
    masks: Sequence[str],
    example: str,
    found: Mapping[str, Any],
    release: Release,
    profile: str,
) -> str:
    number = f"{sum(sizes.values())} images, version {release.version}"
    parts = [
        f"# {title}: synthetic patient faces",
        f"**Synthetic data: every face here was drawn by a generator and shows nobody.** {number}.",
        *words,
        "## Load it",
        f"```python\n{example}\n```",
        "Any other reader of Parquet gives the same columns, pictures as `{bytes, path}` and diseases as the codes "
        "below. `select` is what others call validation, `val` what others call test.",
        "## What is in it",
        "Every picture has {} x {} px (height x width).".format(*found["mema"]["image_size_px"]),
        _counts_table(sizes, counts),
        *(["Tumours outlined:", _bullets(masks)] if masks else []),
        "## Columns",
        _columns_table(schema),
        "A disease's code is its place in the paper's order, not in the alphabet: "
        + ", ".join(f"{code} {name}" for code, name in enumerate(DISEASES))
        + ".",
        "## How it was made",
        FACES[profile],
        READERS[found["source"] == "simulated"],
        _made(found),
        "## What it is not",
        _bullets(IS_NOT),
        "## Known limits",
        _bullets(LIMITS),
        "## Licence and terms",
        f"Licence: {release.licence or NOT_CHOSEN}.",
        f"Terms: {release.terms or NOT_CHOSEN}.",
        "Donors' faces are under licences of their own, which may bind what is made with them.",
        "## Cite",
        f"```bibtex\n{CITATION}\n```",
    ]
    return _front_matter(title, sizes, release) + "\n\n".join(parts) + "\n"


def _front_matter(title: str, sizes: Mapping[str, int], release: Release) -> str:
    """Return the YAML that `datasets` reads: without it a split of an uncommon name is left out, silently."""
    files = [{"split": name, "path": f"{name}/*.parquet"} for name in sizes]
    head = {
        "pretty_name": f"{title} {release.version}",
        "license": release.licence or "unknown",
        "tags": TAGS,
        "configs": [{"config_name": "default", "data_files": files}],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n"


def _counts_table(sizes: Mapping[str, int], counts: Mapping[str, Mapping[str, int]]) -> str:
    rows = [(DISEASE_NAMES[name], counts[name]) for name in DISEASES if name in counts]
    lines = [
        f"| {name} | {' | '.join(str(by[split]) for split in sizes)} | {sum(by[split] for split in sizes)} |"
        for name, by in [*rows, ("all", sizes)]
    ]
    return "\n".join([f"| disease | {' | '.join(sizes)} | all |", "|---|" + "---|" * (len(sizes) + 1), *lines])


def _columns_table(schema: pa.Schema) -> str:
    lines = [f"| `{field.name}` | {_kind(field)} | {schemas.meaning(field)} |" for field in schema]
    for field in schema:
        if pa.types.is_list(field.type):
            lines += [
                f"| `{field.name}[].{inner.name}` | {inner.type} | {schemas.meaning(inner)} |"
                for inner in field.type.value_type
            ]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *lines])


def _kind(field: pa.Field) -> str:
    if field.name in schemas.PICTURES:
        return "Image"
    if field.name in schemas.LABELS:
        return "ClassLabel"
    return "list" if pa.types.is_list(field.type) else str(field.type)


def _made(found: Mapping[str, Any]) -> str:
    out = sum(found["excluded"].values())
    decided = ", ".join(f"{n} {how}" for how, n in sorted(found["decided_by"].items()))
    return (
        "A plan drew disease, severity, age bin, gender and donor of each image from the cohort's published "
        "statistics; a generator tuned on patients executed it; recognisers rejected what came too near to a patient; "
        f"quotas were filled from the rest ({found['selected']} images); readers rejected or could not decide {out} of "
        f"them and decided the others ({decided}, rejections among them). Splits are stratified by disease and share "
        "no donor."
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} in {name}" for name, n in counts.items())


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)
