"""An image's embedding comes by the shortest way that still works."""

import hashlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mema.label_studio.sam import embeddings
from mema.label_studio.sam.embeddings import Embeddings, StoredEmbeddings, embedding_shape, weights_digest
from mema.runtime import shards
from models.images import encode_png
from models.segmentation.sam import Sam, load_sam
from tests.toys.sam import save_sam

IDS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(7)]
SHAPE = (32, 24, 24)
SAM = "0123456789abcdef"


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Sam:
    return load_sam(str(save_sam(tmp_path_factory.mktemp("sam"))))


class CountingSam(Sam):
    """Counts the images that it embeds, each of them slowly enough for two clicks to meet."""

    def __init__(self, sam: Sam):
        super().__init__(sam.model, sam.processor)
        self.embedded = 0

    def embed(self, images):
        self.embedded += len(images)
        time.sleep(0.05)
        return super().embed(images)


def table(ids: list[str], **metadata: str) -> pa.Table:
    values = [np.full(SHAPE, IDS.index(image_id), "<f2") for image_id in ids]
    schema = pa.schema(
        {
            "image_id": pa.string(),
            "height": pa.int32(),
            "width": pa.int32(),
            "shape": pa.list_(pa.int32()),
            "embedding": pa.binary(),
        },
        metadata=metadata or None,
    )
    columns = [ids, [96] * len(ids), [80] * len(ids), [list(SHAPE)] * len(ids), [v.tobytes() for v in values]]
    return pa.Table.from_arrays(
        [pa.array(column, type_) for column, type_ in zip(columns, schema.types, strict=True)], schema=schema
    )


def store(folder: Path) -> StoredEmbeddings:
    return StoredEmbeddings(folder, SHAPE, SAM)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shards.write_shards(table(IDS), tmp_path / "embeddings", shard_rows=3)
    return tmp_path / "embeddings"


def picture(files: Path, image_id: str) -> np.ndarray:
    image = np.random.default_rng(IDS.index(image_id)).integers(0, 256, (96, 80, 3), dtype=np.uint8)
    files.mkdir(exist_ok=True)
    (files / f"{image_id}.png").write_bytes(encode_png(image))
    return image


def opened(tmp_path: Path, sam: Sam, folder: Path | None = None) -> Embeddings:
    return Embeddings(sam, store(folder or tmp_path / "none"), tmp_path / "files", tmp_path / "cache")


def test_every_row_of_every_shard_is_found(folder: Path) -> None:
    stored = store(folder)
    assert len(stored) == len(IDS)
    for index, image_id in enumerate(IDS):
        found = stored.get(image_id)
        assert found is not None
        assert found.size_px == (96, 80)
        assert found.values.dtype == torch.float16
        assert tuple(found.values.shape) == SHAPE
        assert (found.values == index).all()
    assert stored.get("f" * 64) is None


def test_row_groups_are_told_apart(tmp_path: Path) -> None:
    pq.write_table(table(IDS), tmp_path / "shard-00000.parquet", row_group_size=2)
    found = store(tmp_path).get(IDS[5])
    assert found is not None
    assert (found.values == 5).all()


def test_a_missing_folder_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(store(tmp_path / "none")) == 0
    assert "every image is embedded on demand" in caplog.text


def test_a_damaged_shard_costs_its_own_images_only(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    shard = folder / "shard-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    stored = store(folder)
    assert [image_id in stored for image_id in IDS] == [True] * 3 + [False] * 3 + [True]
    assert "shard-00001.parquet: damaged" in caplog.text


@pytest.mark.parametrize("harm", ["zeroed", "replaced", "removed", "other shape"])
def test_a_row_that_went_bad_meanwhile_is_not_used(folder: Path, caplog: pytest.LogCaptureFixture, harm: str) -> None:
    stored, shard = store(folder), folder / "shard-00000.parquet"
    if harm == "zeroed":
        data = bytearray(shard.read_bytes())
        data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
        shard.write_bytes(data)
    elif harm == "replaced":
        shards.write_table(shard, table(IDS[3:6]))
    elif harm == "other shape":
        stored = StoredEmbeddings(folder, (32, 12, 48), SAM)
    else:
        shard.unlink()
    assert stored.get(IDS[1]) is None
    assert "embedded on demand" in caplog.text
    assert (stored.get(IDS[6]) is None) == (harm == "other shape")


def test_embeddings_of_another_checkpoint_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shards.write_table(tmp_path / "shard-00000.parquet", table(IDS[:3], sam="f" * 16))
    shards.write_table(tmp_path / "shard-00001.parquet", table(IDS[3:], sam=SAM))
    assert len(store(tmp_path)) == 4
    assert f"made by the checkpoint {'f' * 16}, not {SAM}" in caplog.text


def test_stored_embedding_needs_no_picture(tmp_path: Path, sam: Sam, folder: Path) -> None:
    counting = CountingSam(sam)
    assert (opened(tmp_path, counting, folder).get(IDS[4], "").values == 4).all()
    assert counting.embedded == 0


def test_on_demand_equals_the_network_and_survives_a_restart(
    tmp_path: Path, sam: Sam, caplog: pytest.LogCaptureFixture
) -> None:
    image, counting = picture(tmp_path / "files", IDS[0]), CountingSam(sam)
    expected = sam.embed([image])[0]
    with caplog.at_level(logging.INFO):
        for source in (opened(tmp_path, counting), opened(tmp_path, counting)):
            for _ in range(2):
                found = source.get(IDS[0], IDS[0])
                assert found.size_px == (96, 80)
                assert torch.equal(found.values, expected)
    assert counting.embedded == 1
    assert "no stored embedding, computing it" in caplog.text
    assert "embedded in" in caplog.text


def test_a_cut_cache_entry_is_made_again(tmp_path: Path, sam: Sam) -> None:
    picture(tmp_path / "files", IDS[0])
    expected = opened(tmp_path, sam).get(IDS[0], IDS[0])
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(entry.read_bytes()[:200])
    assert torch.equal(opened(tmp_path, sam).get(IDS[0], IDS[0]).values, expected.values)
    counting = CountingSam(sam)
    opened(tmp_path, counting).get(IDS[0], IDS[0])
    assert counting.embedded == 0


def test_a_cache_that_cannot_be_written_is_a_warning(
    tmp_path: Path, sam: Sam, caplog: pytest.LogCaptureFixture
) -> None:
    picture(tmp_path / "files", IDS[0])
    (tmp_path / "cache").write_text("in the way")
    assert opened(tmp_path, sam).get(IDS[0], IDS[0]).size_px == (96, 80)
    assert "not kept on the disk" in caplog.text


def test_both_caches_are_bounded(tmp_path: Path, sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "DISK_IMAGES", 3)
    monkeypatch.setattr(embeddings, "MEMORY_IMAGES", 2)
    counting = CountingSam(sam)
    source = opened(tmp_path, counting)
    for image_id in IDS:
        picture(tmp_path / "files", image_id)
        source.get(image_id, image_id)
    assert {path.stem for path in (tmp_path / "cache").iterdir()} == set(IDS[-3:])
    source.get(IDS[-1], IDS[-1])
    source.get(IDS[-3], IDS[-3])
    assert counting.embedded == len(IDS)
    source.get(IDS[0], IDS[0])
    assert counting.embedded == len(IDS) + 1


def test_clicks_that_meet_embed_an_image_once(tmp_path: Path, sam: Sam) -> None:
    picture(tmp_path / "files", IDS[0])
    counting = CountingSam(sam)
    source, start = opened(tmp_path, counting), threading.Barrier(4)

    def click(_: int) -> torch.Tensor:
        start.wait()
        return source.get(IDS[0], IDS[0]).values

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(click, range(4)))
    assert counting.embedded == 1
    assert all(torch.equal(values, found[0]) for values in found)


def test_unknown_image(tmp_path: Path, sam: Sam) -> None:
    with pytest.raises(LookupError, match="key: its picture is gone; push the tasks again"):
        opened(tmp_path, sam).get(IDS[0], IDS[0])


def test_shape_and_digest_are_the_networks_own(tmp_path: Path, sam: Sam) -> None:
    assert embedding_shape(sam) == SHAPE
    again = load_sam(str(save_sam(tmp_path)))
    assert weights_digest(again) == weights_digest(sam)
    with torch.no_grad():
        next(again.model.mask_decoder.parameters()).flatten()[0] += 1e-3
    assert weights_digest(again) != weights_digest(sam)
