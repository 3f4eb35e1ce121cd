"""Three recognisers over photographs: decode, detect and align once, against DeepFace.represent three times.

The peer is DeepFace itself with the same three networks given to it as models of its own, once with the detector that
ours uses (dlib's) and once with its default (OpenCV's cascade). Its alignment is another, so embeddings are compared
on faces that are cut out already. The limit is decoding and the networks, without looking for any face.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import harness
from benchmarks.harness import Case
from models.identity.recogniser import Recogniser, load_recogniser
from models.images import decode
from models.photos.alignment import Detector, crop_largest, load_dlib, packaged_predictor

SIZE_PX = 112  # of the networks' input: where nothing is resized, embeddings can be compared
TARGETS = {"DeepFace": 5.0, "DeepFace, dlib": 5.0}
TOLERANCE = 1e-4
ASSETS = ("insightface/arcface_mobilefacenet.onnx", "insightface/cosface_reid0095.onnx")
TWIN = Path("data/phantom/twins/recognisers/cosface.onnx")
Embeddings = dict[str, np.ndarray]


def embed_once(paths: Sequence[Path], find: Detector, recognisers: dict[str, Recogniser]) -> Embeddings:
    """Return every recogniser's embeddings, each file read, searched and aligned once."""
    faces = [crop_largest(decode(path.read_bytes()), find, SIZE_PX).image for path in paths]
    return {name: recogniser.embed(faces) for name, recogniser in recognisers.items()}


class Client:
    """A recogniser as DeepFace calls its own."""

    def __init__(self, name: str, recogniser: Recogniser) -> None:
        self.model_name, self._recogniser = name, recogniser
        self.input_shape = (SIZE_PX, SIZE_PX)

    def forward(self, images: np.ndarray) -> Any:
        """Take BGR in [0, 1], return one embedding or a list of them."""
        found = self._recogniser.embed([np.round(image[..., ::-1] * 255).astype(np.uint8) for image in images])
        return found[0].tolist() if len(found) == 1 else found.tolist()


def deepface_home(home: Path) -> AbstractContextManager[None]:
    """Let DeepFace look for its weights below `home`."""
    return harness.variables(DEEPFACE_HOME=str(home), DEEPFACE_BACKEND_ENGINE="onnx")


def load_deepface(recognisers: dict[str, Recogniser], home: Path) -> Any:
    """Return DeepFace with these recognisers among its models, and dlib's predictor where it looks for it."""
    weights = home / ".deepface/weights"
    weights.mkdir(parents=True)
    predictor = packaged_predictor().with_name("shape_predictor_5_face_landmarks.dat")
    (weights / predictor.name).symlink_to(predictor)
    from deepface import DeepFace
    from deepface.modules import modeling

    modeling.build_model("face_detector", "opencv")
    for name, recogniser in recognisers.items():
        modeling.cached_models["facial_recognition"][name] = Client(name, recogniser)
    return DeepFace


def represent(deepface: Any, pictures: Sequence[Path | np.ndarray], names: Sequence[str], detector: str) -> Embeddings:
    """Return embeddings by one call a picture and recogniser."""
    found: Embeddings = {}
    for name in names:
        calls = [
            deepface.represent(
                str(picture) if isinstance(picture, Path) else picture[..., ::-1], model_name=name,
                detector_backend=detector, enforce_detection=False, max_faces=1,
            )
            for picture in pictures
        ]  # fmt: skip
        found[name] = np.array([call[0]["embedding"] for call in calls], np.float32)
    return found


def case(assets: Path, home: Path, num: int) -> Case:
    """Return the embedding of `num` photographs on which a face is found."""
    find = load_dlib("")
    files = sorted((assets / "data/lfw_10x10").glob("*/*.jpg"))
    paths = [path for path in files[: num + 8] if find(decode(path.read_bytes()))][:num]
    networks = [*(assets / "weights" / name for name in ASSETS), TWIN]
    recognisers = {path.stem: load_recogniser(path, "frame") for path in networks}
    deepface, names = load_deepface(recognisers, home), list(recognisers)
    faces = [crop_largest(decode(path.read_bytes()), find, SIZE_PX).image for path in paths]

    def check() -> str:
        own, peer = embed_once(paths, find, recognisers), represent(deepface, faces, names, "skip")
        apart = max(float(np.abs(own[name] - peer[name]).max()) for name in names)
        assert apart < TOLERANCE, apart
        return f"embeddings of {len(paths)} aligned faces within {apart:.0e}"

    def limit() -> None:
        for path in paths:
            decode(path.read_bytes())
        for recogniser in recognisers.values():
            recogniser.embed(faces)

    return Case(
        "embed", f"{len(paths)} photographs of 250 px, 3 recognisers",
        ours=lambda: embed_once(paths, find, recognisers),
        peers={
            "DeepFace": lambda: represent(deepface, paths, names, "opencv"),
            "DeepFace, dlib": lambda: represent(deepface, paths, names, "dlib"),
        },
        check=check, limit=limit, limit_name="decoding and the networks", targets=TARGETS,
        on_cpu=True,
    )  # fmt: skip


def main(
    images: Annotated[int, typer.Option(min=1, help="photographs")] = 24,
    rounds: harness.Rounds = 5,
    out: harness.Out = None,
) -> None:
    """Assert equal embeddings, then let ours and DeepFace take turns (needs MEMA_ASSETS)."""
    assets = os.environ.get("MEMA_ASSETS", "")
    needed = [Path(assets, "data/lfw_10x10"), *(Path(assets, "weights", name) for name in ASSETS)]
    missing = [str(path) for path in needed if not path.exists()]
    if not assets or missing:
        raise typer.BadParameter(
            f"MEMA_ASSETS: {', '.join(missing)} missing; point it at the folder with data/ and weights/"
        )
    with tempfile.TemporaryDirectory() as home, deepface_home(Path(home)):
        harness.report(case(Path(assets), Path(home), images), rounds, out)


if __name__ == "__main__":
    typer.run(main)
