"""ONNX files: small, faithful, and the same bytes for the same weights."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import nn

from phantom.twins.onnx_export import export_onnx, halve_weights


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.PReLU(16), nn.Flatten(), nn.Linear(16 * 36, 8)
    ).eval()


def test_half_precision_weights_hardly_change_the_output_for_any_batch(tmp_path):
    torch_network = network()
    export_onnx(torch_network, tmp_path / "a.onnx", torch.zeros(1, 3, 8, 8), alignment="frame")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = torch_network(images).numpy()
    found = session.run(None, {"input": images.numpy()})[0]
    assert np.abs(found - expected).max() < 2e-3
    model = onnx.load(tmp_path / "a.onnx")
    assert {w.data_type for w in model.graph.initializer if np.prod(w.dims) >= 64} == {TensorProto.FLOAT16}
    assert {p.key: p.value for p in model.metadata_props} == {"alignment": "frame"}


def test_equal_weights_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        export_onnx(network(), tmp_path / f"{name}.onnx", torch.zeros(1, 3, 8, 8))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_weights_too_large_for_half_precision_are_refused(tmp_path):
    huge = network()
    huge[4].weight.data.mul_(1e8)
    with pytest.raises(ValueError, match="do not fit fp16"):
        export_onnx(huge, tmp_path / "a.onnx", torch.zeros(1, 3, 8, 8))
    assert not (tmp_path / "a.onnx").exists()


def test_a_model_without_large_weights_stays_as_it_is(tmp_path):
    export_onnx(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), tmp_path / "a.onnx", torch.zeros(1, 3, 1, 1))
    model = onnx.load(tmp_path / "a.onnx")
    assert halve_weights(model).SerializeToString() == onnx.load(tmp_path / "a.onnx").SerializeToString()
