"""LiteRT: a model of one layer, which XNNPACK computes and whose weights it packs when the model is loaded.

XNNPACK's layout is used: channels last. The input is laid out beforehand, and the output is read afterwards; neither is
timed. LiteRT writes every output of a model to the same memory, which belongs to the model.
"""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter
from ai_edge_litert import schema_py_generated as schema

from ..operations import FORWARD
from ..problems import Array, Problem, as_image
from . import Call, Peer, Unread, UnsupportedError, refuse_other_types

# The version of the format of models, and the mark at the head of their files.
FORMAT = 3
FILE_MARK = b"TFL3"


def prepare(threads: int, problem: Problem, x: Array, weight: Array, _reuse: bool) -> Call:
    """Load the model, and hand the input over with its channels last."""
    refuse_other_types(x, "float32")
    if len(problem.input_size) > 2:
        raise UnsupportedError("XNNPACK has no convolution of volumes")
    image = as_image(problem)
    # To (N, H, W, C), and back.
    there, back = ((0, 1, 2, 3),) * 2 if problem.channels_last else ((0, 2, 3, 1), (0, 3, 1, 2))
    pixels = x.reshape(image.input_shape).transpose(there)
    if padding(image) is None:  # LiteRT cannot express it: the zeros are part of the input
        pixels = np.pad(pixels, [(0, 0), *((size, size) for size in image.padding), (0, 0)])
    runner = interpreter.Interpreter(
        model_content=model(image, weight.reshape(image.weight_shape), pixels.shape), num_threads=threads
    )
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], np.ascontiguousarray(pixels))
    output = runner.get_output_details()[0]["index"]
    unread = Unread(lambda: runner.get_tensor(output).transpose(back).reshape(problem.output_shape))

    def call() -> Unread:
        runner.invoke()
        return unread

    return call


def padding(image: Problem) -> int | None:
    """Return LiteRT's name of the padding of an image; None if it has none.

    VALID is none. SAME has an output of ``ceil(input / stride)`` and as many zeros as this needs: half of them before
    the image, rounded down.
    """
    if not any(image.padding):
        return int(schema.Padding.VALID)
    sizes = zip(image.input_size, image.output_size, image.kernel_size, *image.spatial_options.values())
    same = all(
        outputs == -(-size // stride)
        and padding == max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - size, 0) // 2
        for size, outputs, kernel, stride, padding, dilation in sizes
    )
    return int(schema.Padding.SAME) if same else None


def layer(image: Problem) -> tuple[int, int, Any]:
    """Return the operator of the layer: its number, that of its options, and its options."""
    named = padding(image)
    options = {
        "padding": schema.Padding.VALID if named is None else named,
        "strideH": image.stride[0],
        "strideW": image.stride[1],
        "dilationHFactor": image.dilation[0],
        "dilationWFactor": image.dilation[1],
    }
    operators, kinds = schema.BuiltinOperator, schema.BuiltinOptions
    if not is_depthwise(image):
        return operators.CONV_2D, kinds.Conv2DOptions, schema.Conv2DOptionsT(**options)
    options["depthMultiplier"] = image.out_channels // image.groups
    return operators.DEPTHWISE_CONV_2D, kinds.DepthwiseConv2DOptions, schema.DepthwiseConv2DOptionsT(**options)


def is_depthwise(image: Problem) -> bool:
    """Whether each group has one input channel, for which LiteRT has an operator of its own."""
    return 1 < image.groups == image.in_channels


def model(image: Problem, weight: Array, x_shape: tuple[int, ...]) -> bytes:
    """Write the model of one layer, without TensorFlow; its input has the shape (N, H, W, C), and is padded already.

    Weights have the shape (O, KH, KW, C/groups); those of a depthwise layer (1, KH, KW, O).
    """
    weight = np.moveaxis(weight, (0, 1), (-1, 0) if is_depthwise(image) else (0, -1))
    y_shape = (image.batch, *image.output_size, image.out_channels)
    constants = [weight, np.zeros(image.out_channels, np.float32)]
    bytes_of = [np.ascontiguousarray(array).view(np.uint8).ravel() for array in constants]
    shapes = {"x": (x_shape, 0), "weight": (weight.shape, 1), "bias": ((image.out_channels,), 2), "y": (y_shape, 0)}
    tensors = [
        schema.TensorT(name=name, shape=list(shape), type=schema.TensorType.FLOAT32, buffer=buffer)
        for name, (shape, buffer) in shapes.items()
    ]
    number, kind, options = layer(image)
    operator = schema.OperatorT(inputs=[0, 1, 2], outputs=[3], builtinOptionsType=kind, builtinOptions=options)
    written = schema.ModelT(
        version=FORMAT,
        operatorCodes=[schema.OperatorCodeT(builtinCode=number, deprecatedBuiltinCode=number)],
        subgraphs=[schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[3], operators=[operator])],
        buffers=[schema.BufferT(), *(schema.BufferT(data=data) for data in bytes_of)],  # the first one is empty
    )
    builder = flatbuffers.Builder()
    builder.Finish(written.Pack(builder), FILE_MARK)
    return bytes(builder.Output())


def load(threads: int) -> Peer:
    """Limit the threads of its models."""
    return Peer(version("ai-edge-litert"), {FORWARD: partial(prepare, threads)})
