"""ONNX files of small networks: weights stored in half precision, arithmetic in single."""

import logging
import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

HALVED_FROM = 64  # numbers; smaller tensors stay as they are


def export_onnx(network: nn.Module, path: Path, example: Tensor, **metadata: str) -> None:
    """Write `network` with one input, one output and a free batch size; equal weights give equal bytes.

    `metadata` becomes the file's own properties. Weights are rounded to fp16 and cast back in the graph,
    which onnxruntime folds when it loads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    network = network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (example,), str(temporary), dynamo=False, opset_version=17,
            input_names=["input"], output_names=["output"],
            dynamic_axes={"input": {0: "n"}, "output": {0: "n"}},
        )  # fmt: skip
    model = halve_weights(onnx.load(temporary))
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    with temporary.open("wb") as file:
        file.write(model.SerializeToString(deterministic=True))
        os.fsync(file.fileno())
    temporary.replace(path)


def halve_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its large fp32 weights stored as fp16, each followed by a cast to fp32."""
    kept, halved, casts = [], [], []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < HALVED_FROM:
            kept.append(weight)
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise ValueError(f"{weight.name}: values up to {np.abs(values).max():.3g} do not fit fp16")
        halved.append(numpy_helper.from_array(values.astype(np.float16), f"{weight.name}_half"))
        casts.append(
            helper.make_node(
                "Cast", [f"{weight.name}_half"], [weight.name], f"Cast_{weight.name}", to=TensorProto.FLOAT
            )
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend([*kept, *halved])
    model.graph.node.extend(nodes)
    return model
