"""A feed-forward ONNX graph as a torch module that gradients pass through.

onnx2torch and onnx2pytorch need torchvision, which this project does without; face recognisers use few operators,
and each of them is compared with onnxruntime in the tests.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F

Operator = Callable[..., Tensor]


def _pads(pads: list[int] | None) -> list[int]:
    """Return ONNX's paddings (all starts, then all ends) as `F.pad` takes them: last axis first."""
    half = len(pads or []) // 2
    return [side for axis in reversed(range(half)) for side in ((pads or [])[axis], (pads or [])[half + axis])]


def _padded(x: Tensor, pads: list[int] | None, auto_pad: bytes, value: float = 0.0) -> Tensor:
    if auto_pad != b"NOTSET":
        raise ValueError(f"auto_pad {auto_pad.decode()}; allowed: NOTSET (explicit pads)")
    return F.pad(x, _pads(pads), value=value) if any(pads or []) else x


def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, strides: list[int] | None = None,
    pads: list[int] | None = None, dilations: list[int] | None = None, group: int = 1,
    kernel_shape: list[int] | None = None, auto_pad: bytes = b"NOTSET",
) -> Tensor:  # fmt: skip
    """ONNX Conv on [b, c, h, w]."""
    half = len(pads or []) // 2
    if auto_pad == b"NOTSET" and (pads or [])[:half] == (pads or [])[half:]:
        return F.conv2d(x, weight, bias, strides or 1, tuple(pads or [0, 0])[:2], dilations or 1, group)
    return F.conv2d(_padded(x, pads, auto_pad), weight, bias, strides or 1, 0, dilations or 1, group)


def average_pool(
    x: Tensor, *, kernel_shape: list[int], strides: list[int] | None = None, pads: list[int] | None = None,
    count_include_pad: int = 0, ceil_mode: int = 0, auto_pad: bytes = b"NOTSET",
) -> Tensor:  # fmt: skip
    """ONNX AveragePool on [b, c, h, w]; padded places count only where the file says so."""
    if any(pads or []) and not count_include_pad:
        raise ValueError("AveragePool with pads that do not count; allowed: no pads, or count_include_pad = 1")
    return F.avg_pool2d(_padded(x, pads, auto_pad), kernel_shape, strides or 1, ceil_mode=bool(ceil_mode))


def max_pool(
    x: Tensor, *, kernel_shape: list[int], strides: list[int] | None = None, pads: list[int] | None = None,
    ceil_mode: int = 0, auto_pad: bytes = b"NOTSET", storage_order: int = 0, dilations: list[int] | None = None,
) -> Tensor:  # fmt: skip
    """ONNX MaxPool on [b, c, h, w]."""
    x = _padded(x, pads, auto_pad, -torch.inf)
    return F.max_pool2d(x, kernel_shape, strides or 1, dilation=dilations or 1, ceil_mode=bool(ceil_mode))


def batch_norm(
    x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, var: Tensor, *, epsilon: float = 1e-5,
    momentum: float = 0.9, training_mode: int = 0, spatial: int = 1,
) -> Tensor:  # fmt: skip
    """ONNX BatchNormalization with the file's statistics."""
    return F.batch_norm(x, mean, var, scale, shift, eps=epsilon)


def gemm(
    a: Tensor, b: Tensor, c: Tensor | float = 0.0, *, alpha: float = 1.0, beta: float = 1.0,
    transA: int = 0, transB: int = 0,
) -> Tensor:  # fmt: skip
    """ONNX Gemm."""
    return alpha * (a.mT if transA else a) @ (b.mT if transB else b) + beta * c


def clip(
    x: Tensor, low: Tensor | None = None, high: Tensor | None = None, *, min: float | None = None,
    max: float | None = None,
) -> Tensor:  # fmt: skip
    """ONNX Clip: bounds are inputs, in older files attributes."""
    return torch.clamp(x, low if low is not None else min, high if high is not None else max)  # type: ignore[arg-type]


def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """ONNX Gather: whole slices of `axis`."""
    taken = torch.index_select(x, axis, indices.reshape(-1).remainder(x.shape[axis]))
    return taken.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis:][1:])


def grid_sample(
    x: Tensor, grid: Tensor, *, mode: bytes = b"bilinear", padding_mode: bytes = b"zeros", align_corners: int = 0
) -> Tensor:
    """ONNX GridSample."""
    kinds = {b"linear": "bilinear", b"cubic": "bicubic"}  # as opset 20 calls them
    kind = kinds.get(mode) or mode.decode()
    return F.grid_sample(x, grid, mode=kind, padding_mode=padding_mode.decode(), align_corners=bool(align_corners))


def reshape(x: Tensor, shape: Tensor, *, allowzero: int = 0) -> Tensor:
    """ONNX Reshape: a 0 keeps the axis unless `allowzero`."""
    sizes = shape.tolist()
    if not allowzero:
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """ONNX Flatten: two axes, split before `axis`."""
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def reduce_mean(
    x: Tensor, axes: Tensor | list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    """ONNX ReduceMean: the axes are an input, in older files an attribute; all where there are none."""
    chosen = axes.tolist() if isinstance(axes, Tensor) else axes
    if not chosen and noop_with_empty_axes:
        return x
    return x.mean(chosen or list(range(x.ndim)), keepdim=bool(keepdims))


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """ONNX PRelu; by `F.prelu` where there is one slope for each channel."""
    if slope.numel() == x.shape[1] and x.ndim > 1 and slope.shape[0] == x.shape[1]:
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x >= 0, x, x * slope)


def cast(x: Tensor, *, to: int, saturate: int = 1) -> Tensor:
    """ONNX Cast."""
    return x.to(torch.from_numpy(np.zeros(0, helper.tensor_dtype_to_np_dtype(to))).dtype)


OPERATORS: dict[str, Operator] = {
    "Add": torch.add, "AveragePool": average_pool, "BatchNormalization": batch_norm, "Cast": cast, "Clip": clip,
    "Concat": lambda *parts, axis: torch.cat(parts, axis), "Conv": conv, "Div": torch.div,
    "Expand": lambda x, shape: x * torch.ones(shape.tolist(), dtype=x.dtype, device=x.device),
    "Flatten": flatten, "Gather": gather, "Gemm": gemm,
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True), "GridSample": grid_sample,
    "Identity": lambda x: x, "MatMul": torch.matmul, "MaxPool": max_pool, "Mul": torch.mul, "PRelu": prelu,
    "ReduceMean": reduce_mean,
    "Relu": torch.relu, "Reshape": reshape,
    "Shape": lambda x: torch.tensor(x.shape, device=x.device), "Sigmoid": torch.sigmoid, "Sub": torch.sub,
}  # fmt: skip


def _attribute(attribute: onnx.AttributeProto) -> Any:
    return helper.get_attribute_value(attribute)


class OnnxGraph(torch.nn.Module):
    """A frozen graph of one input and one output; what depends on weights alone is computed once."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        """Take over the weights; raises ValueError on an operator that is not in `OPERATORS`."""
        super().__init__()
        unknown = {node.op_type for node in graph.node} - OPERATORS.keys() - {"Constant"}
        if unknown:
            raise ValueError(
                f"operators {', '.join(sorted(unknown))}; allowed: {', '.join(OPERATORS)}; "
                "add the operator to models/deid/onnx_graph.py"
            )
        known = {weight.name: _tensor(weight) for weight in graph.initializer}
        self._steps: list[tuple[Operator, list[str], str, dict[str, Any]]] = []
        for node in graph.node:
            options = {attribute.name: _attribute(attribute) for attribute in node.attribute}
            if node.op_type == "Constant":
                known[node.output[0]] = _tensor(options["value"])
                continue
            step = OPERATORS[node.op_type]
            if all(name in known for name in node.input if name):
                known[node.output[0]] = step(*(known.get(name) for name in node.input), **options)
            else:
                self._steps.append((step, list(node.input), node.output[0], options))
        used = {name for _, names, _, _ in self._steps for name in names}
        self._names = {name: f"value_{i}" for i, name in enumerate(known) if name in used}
        for name, buffer in self._names.items():
            self.register_buffer(buffer, known[name])
        self._input = next(value.name for value in graph.input if value.name not in known)
        self._output = graph.output[0].name

    def forward(self, x: Tensor) -> Tensor:
        """Return the graph's output for its one input."""
        values: dict[str, Tensor | None] = {name: getattr(self, buffer) for name, buffer in self._names.items()}
        values |= {self._input: x, "": None}
        for step, names, output, options in self._steps:
            values[output] = step(*(values[name] for name in names), **options)
        result = values[self._output]
        assert result is not None
        return result


def _tensor(weight: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(weight).copy())
