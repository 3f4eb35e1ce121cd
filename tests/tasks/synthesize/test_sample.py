"""Step 2 as a stage: every image is its row's own, whatever its neighbours, its shard and the kills."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from diffusers import UNet2DConditionModel

from mema.params.synthesize import Generator, Sample
from mema.runtime import shards
from models.diffusion.generator import embed_donor, file_sha256, files_sha256, load_generator
from models.diffusion.lora import LoraSettings, add_lora, save_lora
from models.diffusion.sampling import Row, SamplingSettings, sample_rows
from models.images import decode, encode_png, image_id
from tasks import schemas
from tasks.synthesize import sample
from tasks.works import generation as donors_module
from tasks.works.generation import WEIGHTS
from tests.toys.generator import SavedGenerator, coloured_faces, save_generator

SECTION = {"num_inference_steps": 2, "guidance_scale": 3.0, "batch_size": 3, "shard_rows": 6, "precision": "fp32"}
FACES = coloured_faces()
IDS = [image_id(face) for face in FACES]
PROMPTS = ("A face, eye with ptosis, mid-level", "A face, eye with normal", "A face, eye with uveitis")


def write_public(folder: Path) -> None:
    """Eight public faces in shards of three."""
    values: dict[str, list] = {"image_id": IDS, "image": [encode_png(face) for face in FACES]}
    shards.write_shards(filled(schemas.PUBLIC_FACE, values), folder, shard_rows=3)


def filled(schema: pa.Schema, values: dict[str, list]) -> pa.Table:
    """Return a table of the given columns; the others hold "" and zeros."""
    length = len(next(iter(values.values())))
    blank = {field.name: pa.array([None] * length, field.type) for field in schema}
    for field in schema:
        if pa.types.is_string(field.type) or pa.types.is_primitive(field.type):
            zero = "" if pa.types.is_string(field.type) else 0
            blank[field.name] = pa.array([zero] * length, field.type)
    return pa.table(blank | values, schema=schema)


def plan_of(num: int) -> pa.Table:
    """Rows in turn direct, injected by the first faces, injected by the same again; seeds of their own."""
    direct = [i % 3 == 0 for i in range(num)]
    return filled(
        schemas.PLAN,
        {
            "plan_row": [100 + i for i in range(num)],
            "arm": ["direct" if d else "injected" for d in direct],
            "donor_id": ["" if d else IDS[i // 3 % 4] for i, d in enumerate(direct)],
            "injection_weight": [0.0 if d else 0.2 + 0.01 * (i % 20) for i, d in enumerate(direct)],
            "seed": [1000 - i for i in range(num)],
            "prompt": [PROMPTS[i % 3] for i in range(num)],
        },
    )


def write_lora(saved: SavedGenerator, folder: Path) -> None:
    """A LoRA of random weights, large enough that a forgotten one shows."""
    settings = LoraSettings(
        rank=4, alpha=8, targets="attention", learning_rate=1e-3, betas=(0.9, 0.99), weight_decay=0.0,
        max_grad_norm=1.0, batch_size=2, epochs=1, warmup_steps=1, ema_decay=0.0,
        caption_dropout=0.0, precision="fp32", checkpoint_every=9, grid_every=0, seed=0,
    )  # fmt: skip
    unet = UNet2DConditionModel.from_pretrained(saved.folder, subfolder="unet")
    add_lora(unet, settings)
    random = torch.Generator().manual_seed(0)
    for name, parameter in unet.named_parameters():
        if ".lora_B." in name:
            parameter.data.normal_(generator=random)
    folder.mkdir()
    save_lora(unet, folder, settings)
    (folder / "grids").mkdir()
    (folder / "grids/step-000100.png").write_bytes(encode_png(FACES[0]))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedGenerator:
    return save_generator(tmp_path_factory.mktemp("toy"))


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: SavedGenerator) -> None:
    monkeypatch.chdir(tmp_path)
    write_public(Path("public"))
    write_lora(saved, Path("lora"))


def execute(saved: SavedGenerator, plan: pa.Table, *, sha256: dict | None = None, **changes: Any) -> pa.Table:
    """Run the stage on a plan and return the samples."""
    shards.write_table(Path("plan.parquet"), plan)
    generator = Generator(path=str(saved.folder), ip_adapter=str(saved.ip_adapter), sha256=sha256 or {})
    section = Sample.model_validate(SECTION | changes)
    made = sample.run(Path("plan.parquet"), Path("lora"), Path("public"), Path("samples"), generator, section)
    samples = shards.read_table(Path("samples"))
    assert samples.num_rows == made
    return samples


def pixels(samples: pa.Table) -> list[np.ndarray]:
    return [decode(data.as_py()) for data in samples["image"]]


def test_samples_are_the_plan_with_images_and_lineage(saved):
    plan = plan_of(7)
    samples = execute(saved, plan)
    assert samples.schema.equals(schemas.SAMPLE)
    assert samples.select(plan.column_names).equals(plan)
    assert [path.name for path in sorted(Path("samples").iterdir())] == ["shard-00000.parquet", "shard-00001.parquet"]
    assert samples["image_id"].to_pylist() == [image_id(image) for image in pixels(samples)]
    generator, lora = files_sha256(saved.folder, saved.ip_adapter), Path("lora") / WEIGHTS
    assert set(samples["generator_sha256"].to_pylist()) == {generator}
    assert set(samples["lora_sha256"].to_pylist()) == {file_sha256(lora)}
    assert all((path / ".published").exists() for path in Path(".scratch").iterdir())


def test_every_image_is_that_of_its_row_alone(saved):
    plan = plan_of(7)
    generator = load_generator(saved.folder, ip_adapter=saved.ip_adapter, lora=Path("lora"))
    settings = SamplingSettings(2, 3.0, 3)
    faces = dict(zip(IDS, FACES, strict=True))
    for row, image in zip(plan.to_pylist(), pixels(execute(saved, plan)), strict=True):
        donor = embed_donor(generator, faces[row["donor_id"]]) if row["donor_id"] else None
        alone = Row(row["prompt"], row["seed"], donor, row["injection_weight"])
        np.testing.assert_array_equal(image, sample_rows(generator, [alone], settings)[0].numpy())


def test_lora_donor_weight_prompt_and_seed_all_reach_the_image(saved):
    plan = plan_of(3)
    before = execute(saved, plan)["image_id"].to_pylist()
    changes = {"donor_id": IDS[5], "injection_weight": 0.9, "prompt": PROMPTS[0], "seed": 5}
    for name, value in changes.items():
        column = plan[name].to_pylist()
        column[1] = value
        changed = plan.set_column(
            plan.schema.get_field_index(name), plan.schema.field(name), pa.array(column, plan.schema.field(name).type)
        )
        after = execute(saved, changed)["image_id"].to_pylist()
        assert [a == b for a, b in zip(after, before, strict=True)] == [True, False, True], name
    weights = Path("lora") / WEIGHTS
    weights.write_bytes(_zeros_like(weights))
    assert set(execute(saved, plan)["image_id"].to_pylist()).isdisjoint(before)


def _zeros_like(weights: Path) -> bytes:
    from safetensors.torch import load_file, save

    return save({key: torch.zeros_like(value) for key, value in load_file(weights).items()})


@pytest.mark.parametrize("shard_rows", [1, 4, 100])
def test_equal_rows_give_equal_pixels_whatever_the_shards_and_neighbours(saved, shard_rows):
    plan = plan_of(8)
    expected = execute(saved, plan)["image_id"].to_pylist()
    order = [5, 0, 7, 3, 1, 6, 2, 4]
    again = execute(saved, plan.take(order), shard_rows=shard_rows)["image_id"].to_pylist()
    assert again == [expected[i] for i in order]


def test_no_byte_depends_on_the_number_of_threads(saved, use_threads):
    found = []
    for num in (1, 3):
        use_threads(num)
        execute(saved, plan_of(12), batch_size=2, shard_rows=6)
        found.append([path.read_bytes() for path in sorted(Path("samples").iterdir())])
        shutil.rmtree("samples")
        shutil.rmtree(".scratch")
    assert found[0] == found[1]


def test_a_killed_run_keeps_its_shards_and_the_embeddings_of_donors(saved, monkeypatch, caplog):
    plan = plan_of(12)
    whole = execute(saved, plan)
    digest = [file_sha256(path) for path in sorted(Path("samples").iterdir())]
    batches, donors = [], []
    make, embed = sample.sample_rows, donors_module.embed_donor

    def watch_rows(generator, rows, settings):
        batches.append([row.seed for row in rows])
        if len(batches) == 4:
            raise KeyboardInterrupt
        return make(generator, rows, settings)

    def watch_donors(generator, image):
        donors.append(IDS.index(image_id(image)))
        return embed(generator, image)

    monkeypatch.setattr(sample, "sample_rows", watch_rows)
    monkeypatch.setattr(donors_module, "embed_donor", watch_donors)
    shards.shutil.rmtree("samples")
    shards.shutil.rmtree(".scratch")
    with pytest.raises(KeyboardInterrupt):
        execute(saved, plan)
    assert donors == [0, 1, 2, 3]
    assert not Path("samples").exists()
    donors.clear()
    caplog.set_level(logging.INFO)
    assert execute(saved, plan).equals(whole)
    assert "1 of 2 shards already done" in caplog.text
    assert batches[4:] == [[994, 993, 992], [991, 990, 989]]
    assert donors == []
    assert [file_sha256(path) for path in sorted(Path("samples").iterdir())] == digest


def test_an_empty_plan_makes_an_empty_table(saved):
    assert execute(saved, plan_of(1).slice(1)).num_rows == 0


def test_padding_is_told(saved, caplog):
    execute(saved, plan_of(1))
    assert "thrown away" not in caplog.text
    execute(saved, plan_of(1), shard_rows=4)
    assert "sample.shard_rows: 4 is no multiple of sample.batch_size 3, so 2 of 6 computed" in caplog.text
    assert "choose 6" in caplog.text


def test_plans_that_cannot_be_executed_are_refused_with_a_remedy(saved):
    plan = plan_of(3)
    stranger = plan.set_column(6, "donor_id", pa.array(["", "stranger", ""]))
    with pytest.raises(ValueError, match="plan: 1 of 1 donors are not in public; run plan_sampling again"):
        execute(saved, stranger)
    nobody = plan.set_column(6, "donor_id", pa.array([""] * 3))
    with pytest.raises(ValueError, match=r"injection_weight: 0\.2\d* without a donor; allowed: 0"):
        execute(saved, nobody)
    with pytest.raises(ValueError, match=r"generator\.sha256\.ip_adapter: expected 00"):
        execute(saved, plan, sha256={"ip_adapter": "00"})
    (Path("lora") / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=r"lora: no file lora/pytorch_lora_weights\.saf.*dvc repro"):
        execute(saved, plan)
    lost = SavedGenerator(saved.folder, Path("nowhere.safetensors"))
    with pytest.raises(ValueError, match=r"generator\.ip_adapter: no file nowhere\.safetensors; fetch it"):
        execute(lost, plan)
