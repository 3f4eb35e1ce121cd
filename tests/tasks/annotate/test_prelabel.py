"""Stage prelabel: embeddings, first masks of lesions only, and a subset that tells nobody the disease."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from mema.params import Params, load
from mema.runtime import shards
from models.diffusion.generator import embed_donor, load_generator
from models.diffusion.sampling import Row, SamplingSettings, sample_rows
from models.images import decode, encode_png, image_id
from models.segmentation.first_mask import first_mask
from models.segmentation.masks import decode_mask
from models.segmentation.sam import load_sam
from tasks import schemas
from tasks.annotate import prelabel
from tests.tasks.synthesize.test_sample import FACES, IDS, filled, write_lora, write_public
from tests.toys.generator import SavedGenerator, save_generator
from tests.toys.sam import save_sam
from tests.worlds.profiles import profile_values

ROOT = Path(__file__).parents[3]
DISEASES = ["bcc", "normal", "scc", "ptosis", "bcc", "tao", "bcc"]
PATHS = (
    Path("selected"), Path("public"), Path("lora"), Path("embeddings"), Path("subset.parquet"),
    Path("metrics.json"),
)  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedGenerator:
    return save_generator(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sam(tmp_path_factory.mktemp("sam"))


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: SavedGenerator, sam_folder: Path) -> Params:
    """A workspace with a selection, donors and a LoRA; the parameters that run the stage on it."""
    monkeypatch.chdir(tmp_path)
    write_public(Path("public"))
    write_lora(saved, Path("lora"))
    write_selected(DISEASES)
    document = profile_values()
    document["generator"] = {"path": str(saved.folder), "ip_adapter": str(saved.ip_adapter)}
    document["sample"] |= {"num_inference_steps": 2, "batch_size": 3}
    document["prelabel"] |= {"sam": str(sam_folder), "batch_size": 2, "shard_rows": 3}
    Path("params.yaml").write_text(yaml.safe_dump(document))
    return load()


def write_selected(diseases: list[str]) -> None:
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in diseases]
    values = {
        "image": [encode_png(image) for image in images],
        "image_id": [image_id(image) for image in images],
        "disease": diseases,
        "plan_row": list(range(40, 40 + len(diseases))),
        "donor_id": [IDS[i % 4] for i in range(len(diseases))],
        "injection_weight": [0.2 + 0.03 * i for i in range(len(diseases))],
        "seed": [900 + i for i in range(len(diseases))],
    }
    shards.write_shards(filled(schemas.selected(["arcface"]), values), Path("selected"), shard_rows=4)


def made() -> pa.Table:
    return shards.read_table(Path("embeddings"))


def test_embeddings_are_those_of_the_images(params):
    assert prelabel.run(*PATHS, params) == len(DISEASES)
    sam, table = load_sam(params.prelabel.sam), made()
    images = [decode(data) for data in shards.read_table(Path("selected"))["image"].to_pylist()]
    assert table["image_id"].to_pylist() == [image_id(image) for image in images]
    for row, image in zip(table.to_pylist(), images, strict=True):
        found = np.frombuffer(row["embedding"], np.float16).reshape(row["shape"])
        np.testing.assert_allclose(found, sam.embed([image])[0].numpy(), atol=2e-3)
        assert (row["height"], row["width"]) == (32, 32)


def test_first_masks_compare_a_lesion_with_its_own_row_sampled_as_normal(params, saved):
    prelabel.run(*PATHS, params)
    generator = load_generator(saved.folder, ip_adapter=saved.ip_adapter, lora=Path("lora"))
    sam, settings = load_sam(params.prelabel.sam), SamplingSettings(2, 3.0, 3)
    rows, masks = shards.read_table(Path("selected")).to_pylist(), made()["first_mask"].to_pylist()
    for row, mask in zip(rows, masks, strict=True):
        if row["disease"] not in ("bcc", "scc"):
            assert mask is None
            continue
        donor = embed_donor(generator, FACES[IDS.index(row["donor_id"])])
        normal = Row("A face, eye with normal", row["seed"], donor, row["injection_weight"])
        image, healthy = decode(row["image"]), sample_rows(generator, [normal], settings)[0].numpy()
        expected = first_mask(sam, sam.embed([image])[0], image, healthy)
        assert (mask is None) == (expected is None)
        if mask is not None and expected is not None:
            assert (decode_mask(mask) == expected[0]).mean() > 0.99


def test_who_is_chosen_for_an_outline_does_not_depend_on_the_disease(params):
    ids = [f"{i:064x}" for i in range(4000)]
    chosen = [prelabel.wants_outline(i, 0.25, 7) for i in ids]
    assert np.mean(chosen) == pytest.approx(0.25, abs=0.03)
    assert chosen != [prelabel.wants_outline(i, 0.25, 8) for i in ids]
    values = {"prelabel": params.prelabel.model_copy(update={"outline_share": 0.5})}
    half = params.model_copy(update=values)
    prelabel.run(*PATHS, half)
    before = shards.read_table(Path("subset.parquet"))
    write_selected(["normal"] * len(DISEASES))
    prelabel.run(*PATHS, half)
    after = shards.read_table(Path("subset.parquet"))
    assert before["outline"].to_pylist() == after["outline"].to_pylist()
    assert 0 < sum(after["outline"].to_pylist()) < len(DISEASES)
    assert made().num_rows == sum(after["outline"].to_pylist())


def test_no_byte_depends_on_the_number_of_threads(params, use_threads):
    found = []
    for num in (1, 3):
        use_threads(num)
        prelabel.run(*PATHS, params)
        found.append([path.read_bytes() for path in sorted([*Path("embeddings").iterdir(), PATHS[4]])])
        shards.shutil.rmtree("embeddings")
        shards.shutil.rmtree(".scratch")
    assert found[0] == found[1]


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(params, monkeypatch, use_threads):
    use_threads(1)
    prelabel.run(*PATHS, params)
    whole = {path.name: path.read_bytes() for path in Path("embeddings").iterdir()}
    shards.shutil.rmtree("embeddings")
    shards.shutil.rmtree(".scratch")
    calls, embed = [], prelabel.Sam.embed

    def watched(self, images):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return embed(self, images)

    monkeypatch.setattr(prelabel.Sam, "embed", watched)
    with pytest.raises(KeyboardInterrupt):
        prelabel.run(*PATHS, params)
    prelabel.run(*PATHS, params)
    assert calls == [2, 1, 2, 2, 1, 1]
    assert {path.name: path.read_bytes() for path in Path("embeddings").iterdir()} == whole


def test_a_share_that_chooses_nobody_says_so(params):
    nobody = params.model_copy(update={"prelabel": params.prelabel.model_copy(update={"outline_share": 0.0})})
    with pytest.raises(ValueError, match=r"prelabel\.outline_share: 0\.0 chooses no image of 7; raise it"):
        prelabel.run(*PATHS, nobody)
