"""What dvc.yaml says of its stages."""

from pathlib import Path

import pytest

from mema.project import graph

ENTRIES = "stages: {b: {cmd: x, meta: {flow: one, gpu: true, hours: 72}}, a: {cmd: y, meta: {flow: two}}}"


def written(folder: Path, text: str) -> Path:
    file = folder / "dvc.yaml"
    file.write_text(text)
    return file


def test_stages_stand_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, ENTRIES)
    assert graph.stages(file=file) == ["b", "a"]
    assert graph.stages("two", file) == ["a"]
    assert graph.stages("three", file) == []


def test_meta_tells_when_and_where_a_stage_runs(tmp_path: Path) -> None:
    metas = graph.metas(written(tmp_path, ENTRIES))
    assert (metas["b"].gpu, metas["b"].hours) == (True, 72)
    assert (metas["a"].gpu, metas["a"].hours) == (False, graph.OTHERWISE_HOURS)


@pytest.mark.parametrize(
    ("meta", "message"),
    [("", "flow: Field required"), ("meta: {flow: one, gpus: 2}", "gpus: Extra inputs"),
     ("meta: {flow: one, hours: 0}", "hours: Input should be greater than 0")],
)  # fmt: skip
def test_a_meta_that_cannot_be_is_named_with_the_remedy(tmp_path: Path, meta: str, message: str) -> None:
    file = written(tmp_path, f"stages: {{lonely: {{cmd: x, {meta}}}}}")
    with pytest.raises(ValueError, match=f"dvc.yaml: meta of lonely: {message}.*write meta: "):
        graph.metas(file)
