"""Stage assemble: MeMa in three splits that no donor crosses, and MeMa-Seg, from the readers' votes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from mema.params import Params, load
from mema.params.annotate import Assemble
from mema.runtime import durable, shards, stage
from models.annotation.adjudication import DISEASE_SPLIT, QUALITY_TIE, TOO_FEW_VOTES
from models.annotation.outlines import Outline, consensus_outlines, outlines_by_image
from models.annotation.reader_report import ratings, reader_report
from models.annotation.splits import Split, split_by_donor
from models.images import decode
from tasks import schemas
from tasks.annotate import card
from tasks.annotate.released import World, Written, as_released, mema_parts, read_world
from tasks.works.pseudonyms import pseudonyms

STAGE = "assemble"
SPLITS = ("train", "select", "val")
LOW_QUALITY, NO_VOTES = "low_quality", "no_votes"
EXCLUDED = (LOW_QUALITY, NO_VOTES, TOO_FEW_VOTES, QUALITY_TIE, DISEASE_SPLIT)


def usable_rows(world: World) -> tuple[np.ndarray, dict[str, int]]:
    """Return the rows of the plan that have a disease, and how many have none, by reason."""
    reasons: dict[str, int] = dict.fromkeys(EXCLUDED, 0)
    rows = []
    for row in range(len(world.plan)):
        verdict = world.verdict(row)
        if verdict is None:
            reasons[NO_VOTES] += 1
        elif verdict.disease:
            rows.append(row)
        else:
            reasons[verdict.unresolved or LOW_QUALITY] += 1
    if not rows:
        why = ", ".join(f"{count} {name}" for name, count in reasons.items() if count)
        raise ValueError(f"data/annotations: no image has a disease ({why}); are the readers done?")
    return np.array(rows, np.int64), reasons


def split_world(world: World, rows: np.ndarray, section: Assemble) -> tuple[Split, dict[str, list[int]]]:
    """Return the splits of the usable rows, and those of them that show each disease with kept outlines."""
    verdicts = [world.verdict(row) for row in rows.tolist()]
    diseases = [verdict.disease for verdict in verdicts if verdict]
    donors = [world.plan[row]["donor_id"] for row in rows.tolist()]
    split = split_by_donor(diseases, donors, section.proportions, section.seed)
    named = np.array(diseases)
    return split, {disease: rows[named == disease].tolist() for disease in section.mask_diseases}


def draw_seg(
    lesions: Sequence[int],
    parts: Mapping[str, list[int]],
    world: World,
    masks: Mapping[str, Outline],
    section: Assemble,
) -> tuple[dict[str, list[int]], dict[str, Any]]:
    """Return MeMa-Seg's rows in train and val, drawn by seed from the lesions with a mask, and the numbers."""
    chosen, numbers = {}, {}
    for name, wanted in (("train", section.num_seg_train), ("val", section.num_seg_val)):
        here = sorted(set(lesions) & set(parts[name]))
        have = [row for row in here if world.plan[row]["image_id"] in masks]
        lots = np.random.default_rng(section.seed).permutation(len(have))[:wanted]
        chosen[name] = sorted(have[lot] for lot in lots.tolist())
        numbers[name] = {"wanted": wanted, "images": len(lots), "with_mask": len(have), "of_disease": len(here)}
    return chosen, numbers


def refuse_poor_sets(split: Split, seg: Mapping[str, Mapping[str, int]], section: Assemble) -> None:
    """Raise ValueError where donors force a class too far off its share, or masks are too few."""
    if split.deviation > section.max_deviation:
        raise ValueError(
            f"assemble.max_deviation: a class is {split.deviation:.2f} images off its share of a split, "
            f"allowed {section.max_deviation:g}: too few donors with too many images each; "
            "lower plan_sampling.max_donor_uses (0 is no limit), or raise this bound"
        )
    for name, found in seg.items():
        if found["images"] < found["wanted"]:
            raise ValueError(
                f"assemble.num_seg_{name}: {found['wanted']} wanted, {found['with_mask']} images with a "
                f"consensus mask among {found['of_disease']} of {section.lesion_disease} in {name}; "
                "lower it, or raise prelabel.outline_share or select.num_images"
            )


def run(
    selected: Path, annotations: Path, mema: Path, mema_seg: Path, readers: Path, metrics: Path, params: Params
) -> int:
    """Write both metrics files, then MeMa and MeMa-Seg, unless refused; return MeMa's number of images."""
    world, section = read_world(selected, annotations), params.assemble
    rows, excluded = usable_rows(world)
    split, tumours = split_world(world, rows, section)
    parts = {name: rows[split.assignment == place].tolist() for place, name in enumerate(SPLITS)}
    drawn = outlines_by_image(world.votes, [world.plan[row]["image_id"] for row in chain(*tumours.values())])
    masks = consensus_outlines(drawn, len(world.readers), section.mask_consensus)
    chosen, seg = draw_seg(tumours[section.lesion_disease], parts, world, masks, section)
    found = measure(world, split, excluded, seg, section)
    found["mema"]["image_size_px"] = decode(shards.take_rows(selected, [0], ["image"])["image"][0].as_py()).shape[:2]
    found["masks"] = count_masks(world, tumours, drawn, masks)
    found["mema"]["differ_from_plan"] = {name: count_differing(world, part) for name, part in parts.items()}
    durable.write_json(readers, measure_readers(world, drawn, section))
    durable.write_json(metrics, found)
    refuse_poor_sets(split, seg, section)
    donors = pseudonyms(params.release, params.release_key).of([row["donor_id"] for row in world.plan])
    written = Written(masks, donors)
    for name, part in parts.items():
        write_split(mema / name, schemas.MEMA, selected, world, part, written)
    for name, part in chosen.items():
        write_split(mema_seg / name, schemas.MEMA_SEG, selected, world, part, written)
    durable.write_text(mema / "README.md", card.mema_card(found, params.release, params.profile))
    durable.write_text(mema_seg / "README.md", card.mema_seg_card(found, params.release, params.profile))
    return len(rows)


def write_split(
    out: Path, schema: pa.Schema, selected: Path, world: World, rows: Sequence[int], written: Written
) -> None:
    """Write one split of a released set, named like its folder."""
    scratch = out.with_name(f".{out.name}.ordering")
    whole = mema_parts(selected, world, rows, out.name, written, scratch)
    shards.write_parts((as_released(table.select(schema.names)) for table in whole), out)


def count_differing(world: World, rows: Sequence[int]) -> int:
    """Return how many rows have another disease than their plan."""
    verdicts = [(world.verdict(row), world.plan[row]["disease"]) for row in rows]
    return sum(verdict is not None and verdict.disease != planned for verdict, planned in verdicts)


def count_masks(
    world: World,
    lesions: Mapping[str, Sequence[int]],
    drawn: Mapping[str, Mapping[str, Outline]],
    masks: Mapping[str, Outline],
) -> dict[str, dict[str, int]]:
    """Return how many images of each disease there are, how many somebody outlined, and how many got a mask."""
    counts = {}
    for disease, rows in lesions.items():
        ids = [world.plan[row]["image_id"] for row in rows]
        counts[disease] = {
            "images": len(ids),
            "outlined": sum(name in drawn for name in ids),
            "with_mask": sum(name in masks for name in ids),
        }
    return counts


def measure_readers(world: World, drawn: Mapping[str, Mapping[str, Outline]], section: Assemble) -> dict[str, Any]:
    """Return the agreement of the readers and where they come from."""
    report = reader_report(
        ratings(world.votes, world.readers),
        {row["image_id"]: row["disease"] for row in world.plan},
        world.verdicts,
        drawn,
        world.confusions,
        method=section.mask_consensus,
        num_resamples=section.bootstrap,
        seed=section.seed,
    )
    return {"source": world.source, **report}


def measure(
    world: World, split: Split, excluded: dict[str, int], seg: dict[str, Any], section: Assemble
) -> dict[str, Any]:
    """Return the counts of the stage; `off` is the distance from a class's exact share, in images."""
    off = split.counts - split.exact
    classes = {
        disease: {
            name: {"images": int(split.counts[row, place]), "off": round(float(off[row, place]), 3)}
            for place, name in enumerate(SPLITS)
        }
        for row, disease in enumerate(split.classes)
    }
    decided = Counter(one.decided_by for one in world.verdicts.values() if not one.unresolved)
    return {
        "source": world.source,
        "selected": len(world.plan),
        "excluded": excluded,
        "decided_by": dict(decided),
        "proportions": dict(zip(SPLITS, section.proportions, strict=True)),
        "mema": {
            "classes": classes,
            "images": dict(zip(SPLITS, split.counts.sum(0).tolist(), strict=True)),
            "deviation": round(split.deviation, 3),
        },
        "mema_seg": {"disease": section.lesion_disease, "consensus": section.mask_consensus, **seg},
    }


def main(
    selected: Annotated[Path, typer.Option(help="shards of the images that were read")],
    annotations: Annotated[Path, typer.Option(help="folder of votes.parquet and readers.json")],
    mema: Annotated[Path, typer.Option(help="out: folder of train, select and val")],
    mema_seg: Annotated[Path, typer.Option(help="out: folder of train and val, with masks")],
    readers: Annotated[Path, typer.Option(help="out: the readers' agreement as JSON")],
    metrics: Annotated[Path, typer.Option(help="out: counts as JSON")],
) -> None:
    """Assemble MeMa and MeMa-Seg."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(selected, annotations, mema, mema_seg, readers, metrics, params)


if __name__ == "__main__":
    stage.start(main)
