"""The libraries of the benchmark: each computes what it should, and nothing wrong."""

from __future__ import annotations

import importlib.util
import json

import pytest
from fresh import run_python

from gemmconv.bench.operations import FORWARD, OPERATIONS
from gemmconv.bench.peers import PEERS
from gemmconv.bench.problems import CHANNELS_LAST

PROBLEMS = {
    "image": "c16 h13 w11 o24 kh3 kw3 ph1 pw1",
    "pointwise": "c8 h9 w10 o12 kh1 kw1",
    "stem": "c3 h23 w21 o16 kh7 kw7 sh2 sw2 ph3 pw3",
    "oblong": "c8 h17 w14 o6 kh3 kw2 sh2 ph1 pw2 dh2 dw3",
    "grouped": "c12 h9 w8 o8 g4 kh3 kw3 ph1 pw1",
    "depthwise": "c16 h12 w11 o16 g16 kh3 kw3 ph1 pw1",
    "multiplied": "c4 h7 w9 o8 g4 kh3 kw3 sh2 sw2",
    "batch": "n3 c4 h8 w9 o5 kh3 kw3 ph1 pw1",
    "sound": "c6 w50 o8 kw5 sw2 pw3 dw2",
    "volume": "c2 d5 h6 w7 o3 kd2 kh3 kw1 sd2 ph1 dd2",
    "picture": "c1 h33 w30 o1 kh5 kw3 ph2 pw1",
    "signal": "c1 w60 o1 kw9 pw2",
}
EVERYTHING = set(PROBLEMS)

# What libraries compute beside the convolution.
GRADIENTS = {"input_gradient", "weight_gradient", "transpose"}
TRANSPOSE = {"transpose"}

# Name of a peer -> what it computes beside the convolution, of all that it is expected to convolve; and nothing else.
OTHER_OPERATIONS = {
    "gemmconv": GRADIENTS,
    "plan": GRADIENTS,
    "torch": GRADIENTS,
    "torch_cl": GRADIENTS,
    "jax": GRADIENTS,
    "onnxruntime": TRANSPOSE,
    "openvino": TRANSPOSE,
    "ncnn": TRANSPOSE,
}

# Name of a peer -> its library, the least it computes in float32, and whether it computes that in float64.
EXPECTED = {
    "gemmconv": ("gemmconv", EVERYTHING, True),
    "plan": ("gemmconv", EVERYTHING, True),
    "torch": ("torch", EVERYTHING, True),
    "torch_cl": ("torch", EVERYTHING, True),
    "torch_pp": ("torch", EVERYTHING, False),
    "onnxruntime": ("onnxruntime", EVERYTHING, False),
    "openvino": ("openvino", EVERYTHING, False),
    "ncnn": ("ncnn", EVERYTHING - {"batch", "volume"}, False),
    "litert": ("ai_edge_litert", EVERYTHING - {"volume"}, False),
    "mnn": ("MNN", EVERYTHING - {"volume"}, False),
    "mnn_c4": ("MNN", EVERYTHING - {"volume", "grouped", "multiplied"}, False),
    "jax": ("jax", EVERYTHING, True),
    "opencv": ("cv2", {"depthwise", "picture"}, True),
    "scipy": ("scipy", {"picture", "signal"}, True),
    "numpy": ("numpy", EVERYTHING, True),
}

# Name of a peer -> the other types that it must compute in.
OTHER_TYPES = {
    "gemmconv": ["float16"],
    "plan": ["float16"],
    "torch": ["float16", "complex64"],
    "torch_cl": ["float16", "complex64"],
    "jax": ["float16", "complex64"],
    "scipy": ["complex64"],
    "numpy": ["complex64"],
}

# In a process of its own: a library keeps its threads and processors to itself.
COMPUTE_ALL = """
import json, sys
import numpy as np
import gemmconv.reference
from gemmconv.bench.operations import OPERATIONS
from gemmconv.bench.peers import UnsupportedError, load_peer, prepare
from gemmconv.bench.problems import parse_problem
from gemmconv.bench.worker import compare

def compute_expected(operation, problem, a, b):
    real = operation.bind(gemmconv.reference, problem)
    if not np.iscomplexobj(a):
        return real(a, b)
    b = b.conj() if "gradient" in operation.function else b
    return real(a.real, b.real) - real(a.imag, b.imag) + 1j * (real(a.real, b.imag) + real(a.imag, b.real))

def compute(op, dtype, problem, reuse):
    try:
        call = prepare(peer, op, problem, dtype, reuse)
    except UnsupportedError as why:
        return f"unsupported: {why}"
    operation = OPERATIONS[op]
    expected = compute_expected(operation, problem, *operation.arrays(problem, dtype))
    first = np.asarray(call())
    wrong, _ = compare(first, expected, dtype)
    if wrong:
        return wrong
    if first.flags.writeable:
        first.fill(np.nan)
    second = np.asarray(call())
    if not reuse and np.may_share_memory(first, second):
        return "both outputs are in the same memory"
    return compare(second, expected, dtype)[0]

peer = load_peer(sys.argv[1], 1)
assert peer.version[0].isdigit()
lines, runs = json.loads(sys.argv[2])
results = [
    (op, dtype, name, layout, reuse, compute(op, dtype, parse_problem(f"{name} x1 {line} {layout}"), reuse))
    for op in OPERATIONS for name, line in lines.items() for dtype, reuse, layout in runs
    if op == "forward" or dtype != "float16"  # PyTorch rounds parts of some gradients
]
print(json.dumps(results))
"""


def test_every_peer_is_expected_to_do_something():
    assert EXPECTED.keys() == PEERS.keys() >= OTHER_OPERATIONS.keys()
    assert {FORWARD, *GRADIENTS} == OPERATIONS.keys()


@pytest.mark.parametrize("peer", EXPECTED)
def test_peer_is_right(peer):
    library, least, both_types = EXPECTED[peer]
    if importlib.util.find_spec(library) is None:  # imported here, it would change this process
        pytest.skip(f"{library} is not installed")
    runs = [("float32", False, ""), ("float32", True, ""), ("float64", True, "")]
    runs += [(dtype, True, "") for dtype in OTHER_TYPES.get(peer, [])]
    if PEERS[peer].channels_last:
        runs += [(dtype, False, CHANNELS_LAST) for dtype in ("float32", *OTHER_TYPES.get(peer, [])[-1:])]
    output = run_python(COMPUTE_ALL, peer, json.dumps((PROBLEMS, runs)))
    results = json.loads(output.splitlines()[-1])  # libraries may print, too
    unsupported = [result for result in results if (result[-1] or "").startswith("unsupported: ")]
    assert [result for result in results if result[-1] and result not in unsupported] == []
    operations = {FORWARD} | OTHER_OPERATIONS.get(peer, set())
    required = [
        (op, dtype, problem, layout, why)
        for op, dtype, problem, layout, _, why in unsupported
        if op in operations and problem in least
        if both_types or dtype != "float64"
    ]
    assert required == []
    for op, *_, why in results:
        assert op in operations or why == f"unsupported: it has no {OPERATIONS[op].what}"
