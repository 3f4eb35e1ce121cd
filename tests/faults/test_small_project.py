"""The shrunk graph's readers settle every image as planned and give the senior work, whatever was generated."""

from pathlib import Path

from mema.params.annotate import Annotations
from mema.runtime import shards
from models.annotation.adjudication import SENIOR, adjudicate
from models.annotation.outlines import consensus_outlines, outlines_by_image
from phantom.params import load_twins
from phantom.simulated_reader import Skill
from phantom.stages import readers
from tasks.annotate import annotations
from tests.faults import small_project
from tests.worlds.readers import write_selection

NUM_IMAGES = 120


def test_all_is_settled_as_planned_and_each_proposed_mask_outlasts_the_vote(tmp_path: Path) -> None:
    write_selection(tmp_path, NUM_IMAGES, NUM_IMAGES // 2)
    (tmp_path / "params.yaml").write_text(small_project.twin_params())
    section = load_twins(tmp_path / "params.yaml").readers
    selected, subset, exports, out = (tmp_path / name for name in ("selected", "subset.parquet", "exports", "out"))
    readers.run(
        selected, subset, exports, skills={k: Skill(**v.model_dump()) for k, v in section.skills.items()},
        senior=Skill(**section.senior.model_dump()), low_share=section.low_share,
        repeat_share=section.repeat_share, seed=section.seed,
    )  # fmt: skip
    strict = Annotations(max_unusable=0.0, allow_incomplete=False)
    annotations.run(selected, subset, exports, out, tmp_path / "metrics.json", strict)
    votes = shards.read_table(out / "votes.parquet")
    plan = shards.read_table(selected, columns=["image_id", "disease"]).to_pylist()
    verdicts = {one.image_id: one for one in adjudicate(votes, len(section.skills))}
    assert {name: one.disease for name, one in verdicts.items()} == {row["image_id"]: row["disease"] for row in plan}
    seniors = sum(one.decided_by == SENIOR for one in verdicts.values())
    assert 0 < seniors < NUM_IMAGES / 3
    proposed = {
        row["image_id"]
        for row in shards.read_table(subset, columns=["image_id", "outline", "first_mask"]).to_pylist()
        if row["outline"] and row["first_mask"]
    }
    drawn = outlines_by_image(votes, proposed)
    assert consensus_outlines(drawn, len(section.skills), "majority").keys() == proposed
