"""The age and gender twin as DeepFace's two ONNX files."""

from pathlib import Path

import torch

from models.attributes.deepface import SIZE_PX, WEIGHTS
from phantom.twins.attributes.network import AttributeNet, DeepFaceGraph
from phantom.twins.onnx_export import export_onnx


def export_deepface(network: AttributeNet, deepface_home: Path) -> None:
    """Write age and gender to where DeepFace looks for them below its home folder."""
    for head, name in zip(("age", "gender"), WEIGHTS, strict=True):
        graph = DeepFaceGraph(network, head)
        export_onnx(graph, deepface_home / ".deepface" / "weights" / name, torch.zeros(1, SIZE_PX, SIZE_PX, 3))
