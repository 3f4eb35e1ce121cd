"""Every operator of the torch graph gives what onnxruntime gives for the same node."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from models.deid.onnx_graph import OPERATORS, OnnxGraph

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 9, 9)).astype(np.float32)


def weight(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


ROTATION = np.stack(np.meshgrid(np.linspace(-1.2, 1.1, 5), np.linspace(-1, 1.3, 6)), -1)[None].astype(np.float32)
CASES: list[tuple[str, list[Any], dict[str, Any], int]] = [
    ("Add", [weight(4, 1, 1)], {}, 17),
    ("AveragePool", [], {"kernel_shape": [3, 3], "strides": [2, 2]}, 17),
    ("AveragePool", [], {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": 1}, 17),
    ("BatchNormalization", [weight(4), weight(4), weight(4), weight(4) ** 2], {"epsilon": 1e-3}, 17),
    ("Cast", [], {"to": TensorProto.INT64}, 17),
    ("Clip", [np.float32(-0.5), np.float32(0.7)], {}, 17),
    ("Clip", [], {"min": -0.5, "max": 0.7}, 9),
    ("Concat", [np.repeat(weight(1, 3, 9, 9), 2, 0)], {"axis": 1}, 17),
    ("Conv", [weight(6, 2, 3, 3), weight(6)], {"group": 2, "strides": [2, 1], "pads": [1, 1, 1, 1]}, 17),
    ("Conv", [weight(6, 4, 3, 3)], {"dilations": [2, 2], "pads": [0, 1, 2, 0]}, 17),
    ("Div", [weight(1, 4, 1, 1)], {}, 17),
    ("Expand", [np.array([3, 1, 4, 9, 9])], {}, 17),
    ("Flatten", [], {}, 17),
    ("Flatten", [], {"axis": 3}, 17),
    ("Gather", [np.array([2, -1, 0])], {"axis": 1}, 17),
    ("Gather", [np.array([[1, 0], [0, 1]])], {"axis": 2}, 17),
    ("Gather", [np.array(1)], {}, 17),
    ("GlobalAveragePool", [], {}, 17),
    ("GridSample", [np.repeat(ROTATION, 2, 0)], {"padding_mode": "border"}, 16),
    ("GridSample", [np.repeat(ROTATION, 2, 0)], {"mode": "linear", "align_corners": 1}, 20),
    ("Identity", [], {}, 17),
    ("MatMul", [weight(9, 5)], {}, 17),
    ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 1]}, 17),
    ("Mul", [weight(4, 1, 1)], {}, 17),
    ("PRelu", [weight(4, 1, 1)], {}, 17),
    ("PRelu", [weight(1)], {}, 17),
    ("ReduceMean", [], {"axes": [1, -1], "keepdims": 0}, 17),
    ("ReduceMean", [np.array([2, 3])], {}, 18),
    ("ReduceMean", [], {}, 17),
    ("Relu", [], {}, 17),
    ("Reshape", [np.array([0, -1, 3])], {}, 17),
    ("Shape", [], {}, 17),
    ("Sigmoid", [], {}, 17),
    ("Sub", [weight(9)], {}, 17),
]


def model_of(
    operator: str, weights: list[Any], attributes: dict[str, Any], opset: int, shape: tuple[int, ...] = X.shape
) -> onnx.ModelProto:
    node = helper.make_node(operator, ["x", *(f"w{i}" for i in range(len(weights)))], ["y"], **attributes)
    kinds = {"Cast": attributes.get("to"), "Shape": TensorProto.INT64}
    kind = kinds.get(operator, TensorProto.FLOAT)
    graph = helper.make_graph(
        [node], "one", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(value), f"w{i}") for i, value in enumerate(weights)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def agrees(model: onnx.ModelProto, x: np.ndarray) -> bool:
    """Whether our evaluation has the shape and, within rounding, the values of onnxruntime's."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": x})[0]
    found = OnnxGraph(model.graph)(torch.from_numpy(x)).numpy()
    return found.shape == wanted.shape and np.allclose(found, wanted, rtol=1e-4, atol=1e-5)  # type: ignore


@pytest.mark.parametrize(("operator", "weights", "attributes", "opset"), CASES)
def test_an_operator_is_that_of_onnxruntime(operator, weights, attributes, opset):
    assert agrees(model_of(operator, weights, attributes, opset), X)


@pytest.mark.parametrize(("attributes", "shape"), [({"transB": 1, "alpha": 0.5}, (5, 9)), ({"beta": 2.0}, (9, 5))])
def test_gemm_is_that_of_onnxruntime(attributes, shape):
    assert agrees(model_of("Gemm", [weight(*shape), weight(5)], attributes, 17, (3, 9)), weight(3, 9))


def test_every_operator_is_compared():
    assert {case[0] for case in CASES} | {"Gemm"} == set(OPERATORS)


def test_what_weights_alone_decide_is_computed_once_and_gradients_pass():
    half = numpy_helper.from_array(weight(4, 1, 1).astype(np.float16), "half")
    nodes = [helper.make_node("Cast", ["half"], ["whole"], to=TensorProto.FLOAT),
             helper.make_node("Mul", ["x", "whole"], ["y"])]  # fmt: skip
    graph = helper.make_graph(
        nodes, "two", [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [half],
    )  # fmt: skip
    network = OnnxGraph(graph)
    assert [buffer.dtype for buffer in network.buffers()] == [torch.float32]
    x = torch.from_numpy(X).requires_grad_()
    network(x).sum().backward()
    slope = torch.from_numpy(numpy_helper.to_array(half).astype(np.float32))
    torch.testing.assert_close(x.grad, slope.expand(X.shape))


def test_what_is_not_understood_is_refused_by_name(tmp_path: Path):
    with pytest.raises(ValueError, match=r"operators Erf; allowed: Add, .*add the operator to"):
        OnnxGraph(model_of("Erf", [], {}, 17).graph)
    same = {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}
    with pytest.raises(ValueError, match=r"auto_pad SAME_UPPER; allowed: NOTSET"):
        OnnxGraph(model_of("MaxPool", [], same, 17).graph)(torch.from_numpy(X))
    uncounted = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    with pytest.raises(ValueError, match=r"AveragePool with pads that do not count"):
        OnnxGraph(model_of("AveragePool", [], uncounted, 17).graph)(torch.from_numpy(X))
