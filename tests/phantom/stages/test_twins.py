"""The twins' stages at toy size, and the twins in git on phantoms nobody trained on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from diffusers import StableDiffusionPipeline

from models.attributes.deepface import estimate
from models.diffusion.generator import embed_donor, load_generator
from models.diffusion.sampling import Row, SamplingSettings, sample_rows
from models.diseases import DISEASES, GENDERS, prompt
from models.identity.recogniser import load_recogniser
from models.images import decode
from models.judges.disease_classifier import load_classifier, predict
from phantom.params import Photos, load_twins
from phantom.stages import (
    twin_attributes,
    twin_classifier,
    twin_generator,
    twin_loss_recogniser,
    twin_photos,
    twin_quality,
    twin_recognisers,
)
from phantom.twins.data import PhantomPhotos, phantom_photos
from phantom.twins.identity.training import pair_similarities, tar_at_fmr

TWINS = Path("data/phantom/twins")
LOSSES = ("arcface", "cosface", "sphereface")


@pytest.fixture
def toy_params(tmp_path):
    """The committed parameters with few people and few steps."""
    params = yaml.safe_load(Path("data/phantom/params.yaml").read_text())
    photos = {"num_identities": 3, "shots": 3, "sign_share": 0.5, "seed": 91}
    signs = {"num_identities": 40, "shots": 1, "sign_share": 0.9, "seed": 92}
    short = {"steps": 2, "batch_size": 4}
    params["twin_recognisers"] |= {"image_size_px": 64, "photos": photos, "unseen": photos | {"seed": 93}}
    for loss in LOSSES:
        params["twin_recognisers"][loss] |= short | {"widths": [8, 8, 16, 16], "depths": [1, 1, 1]}
    params["twin_loss_recogniser"] |= params["twin_recognisers"] | {"arcface": params["twin_recognisers"]["arcface"]}
    for name in ("cosface", "sphereface"):
        del params["twin_loss_recogniser"][name]
    params["twin_attributes"] |= short | {"image_size_px": 64, "photos": [photos, signs], "unseen": photos}
    params["twin_classifier"] |= short | {"image_size_px": 64, "photos": [photos, signs], "unseen": signs}
    params["twin_generator"] |= {"image_size_px": 64, "num_identities": 6}
    params["twin_generator"]["codec"] |= short | {"crop_px": 32, "full_steps": 1}
    for part in ("image_encoder", "generator"):
        params["twin_generator"][part] |= short
    params["twin_quality"] |= {"num_donors": 12, "num_graded": 12, "weights": [0.0, 1.0]}
    params["twin_quality"] |= {"num_inference_steps": 2, "batch_size": 12}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


@pytest.mark.slow
def test_stages_write_what_the_libraries_load(toy_params, tmp_path):
    torch.set_num_threads(1)
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    twin_recognisers.main(out / "recognisers", out / "recognisers.json", toy_params, scratch)
    twin_attributes.main(out / "deepface", out / "attributes.json", toy_params, scratch)
    twin_classifier.main(out / "classifier", out / "classifier.json", toy_params, scratch)
    image = [np.full((96, 96, 3), 128, np.uint8)]
    twin_loss_recogniser.main(out / "phi", out / "phi.json", toy_params, scratch)
    assert load_recogniser(out / "phi/arcface.onnx").embed([np.zeros((96, 96, 3), np.uint8)]).shape == (1, 128)
    for loss in LOSSES:
        assert load_recogniser(out / "recognisers" / f"{loss}.onnx").embed(image).shape == (1, 128)
    assert len(estimate(image, out / "deepface")[0]) == 1
    assert predict(load_classifier(out / "classifier"), image).shape == (1, len(DISEASES))
    reports = [json.loads((out / f"{name}.json").read_text()) for name in ("recognisers", "attributes", "classifier")]
    assert set(reports[0]) == set(LOSSES)
    assert reports[1]["photos"] == 9
    assert np.sum(reports[2]["confusion"]) == reports[2]["n"] == 40
    before = (out / "recognisers/arcface.onnx").read_bytes()
    twin_recognisers.main(out / "recognisers", out / "recognisers.json", toy_params, scratch)
    assert (out / "recognisers/arcface.onnx").read_bytes() == before


@pytest.mark.slow
def test_the_generator_twin_is_what_diffusers_loads_and_the_other_twins_can_judge(toy_params, tmp_path):
    torch.set_num_threads(1)
    for judge in ("recognisers", "classifier"):
        shutil.copytree(TWINS / judge, tmp_path / "twins" / judge)
    generator, adapter = tmp_path / "twins/generator", tmp_path / "twins/ip_adapter/ip_adapter.safetensors"
    metrics, scratch = tmp_path / "generator.json", tmp_path / "scratch"
    twin_generator.main(generator, adapter, metrics, toy_params, scratch)
    pipeline = StableDiffusionPipeline.from_pretrained(generator, dtype=torch.float32, safety_checker=None)
    pipeline.load_ip_adapter(str(adapter.parent), subfolder="", weight_name=adapter.name, image_encoder_folder=None)
    assert json.loads(metrics.read_text())["codec"]["n"] == 400
    twin_quality.main(tmp_path / "twins", tmp_path / "sheet.png", tmp_path / "q.json", toy_params, scratch)
    quality = json.loads((tmp_path / "q.json").read_text())
    assert set(quality["injection"]) == set(LOSSES)
    assert quality["injection"]["arcface"]["1.0"]["n"] == 12
    assert quality["legibility"]["heavy"]["diseases"]["bcc"]["n"] == 12
    assert decode((tmp_path / "sheet.png").read_bytes()).shape == (11 * 64, 12 * 64, 3)


def test_sets_of_photos_join_without_mixing_people(tmp_path):
    a, b = (Photos(num_identities=2, shots=n, sign_share=0.5, seed=n) for n in (2, 1))
    joined = twin_photos.joined(tmp_path, (a, b), 64)
    assert joined.identity.tolist() == [0, 0, 1, 1, 2, 3]
    assert np.array_equal(joined.images[4:], twin_photos.rendered(tmp_path, b, 64).images)


def test_other_parameters_have_another_checkpoint(tmp_path):
    p = load_twins(Path("data/phantom/params.yaml")).twin_recognisers
    first = twin_photos.unfinished(tmp_path, "twin_recognisers", section=[p.arcface, p.photos])
    changed = p.arcface.model_copy(update={"margin": 0.1})
    assert first != twin_photos.unfinished(tmp_path, "twin_recognisers", section=[changed, p.photos])
    assert first == twin_photos.unfinished(tmp_path, "twin_recognisers", section=[p.arcface, p.photos])


@pytest.fixture(scope="module")
def strangers(tmp_path_factory) -> PhantomPhotos:
    folder = tmp_path_factory.mktemp("strangers")
    return phantom_photos(folder, num_identities=60, shots=3, sign_share=0.5, size=96, seed=4242)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_recognisers_in_git_know_strangers_apart(strangers, loss):
    embeddings = load_recogniser(TWINS / "recognisers" / f"{loss}.onnx").embed(strangers.images)
    genuine, impostor = pair_similarities(embeddings, strangers.identity)
    assert tar_at_fmr(genuine, impostor, 1e-3) >= 0.9


@pytest.mark.slow
def test_attributes_in_git_are_right_on_strangers(strangers):
    ages, genders = estimate(list(strangers.images), TWINS / "deepface")
    assert np.abs(ages - strangers.age).mean() <= 6
    assert np.mean([GENDERS[t] == g for t, g in zip(strangers.gender, genders, strict=True)]) >= 0.95


@pytest.mark.slow
def test_classifier_in_git_reads_signs_of_strangers(strangers):
    right = predict(load_classifier(TWINS / "classifier"), strangers.images).argmax(1) == strangers.disease
    assert np.mean([right[strangers.disease == k].mean() for k in range(len(DISEASES))]) >= 0.85


@pytest.mark.slow
def test_the_generator_in_git_takes_on_strangers_and_shows_their_signs(strangers):
    generator = load_generator(TWINS / "generator", ip_adapter=TWINS / "ip_adapter/ip_adapter.safetensors")
    settings = SamplingSettings(num_inference_steps=12, guidance_scale=3.0, batch_size=16)
    donors = list(strangers.images[::3][:16])
    embeddings = [embed_donor(generator, donor) for donor in donors]

    def draw(weight: float, prompts: list[str]) -> list[np.ndarray]:
        given = [embedding if weight else None for embedding in embeddings]
        rows = [Row(p, 50 + i, e, weight) for i, (p, e) in enumerate(zip(prompts, given, strict=True))]
        return list(sample_rows(generator, rows, settings).numpy())

    recogniser = load_recogniser(TWINS / "recognisers/arcface.onnx")
    wanted, healthy = recogniser.embed(donors), [prompt("normal")] * 16
    cosine = {w: (recogniser.embed(draw(w, healthy)) * wanted).sum(1).mean() for w in (0.0, 0.3)}
    assert cosine[0.3] >= 0.4
    assert cosine[0.0] <= 0.15
    asked = ["bcc", "conjunctivitis", "ptosis", "scc", "strabismus", "tao", "normal", "scc"] * 2
    prompts = [prompt(d, "heavy" if d != "normal" else "") for d in asked]
    judged = predict(load_classifier(TWINS / "classifier"), draw(0.3, prompts)).argmax(1)
    assert np.mean([DISEASES[k] == d for k, d in zip(judged, asked, strict=True)]) >= 0.8
