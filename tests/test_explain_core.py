"""The arithmetic of the page, core.js in Chromium, against the library: equal to the last bit on integers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from importlib.resources import files
from math import prod
from typing import Any

import numpy as np
import pytest
from browser import opened
from cases import CASES, KERNEL_CASES, STRIDED_CASES, TRANSPOSED_CASES, Case
from hypothesis import settings

import gemmconv
from gemmconv.checks.shapes import check_array_shape
from gemmconv.checks.transposed_geometry import transposed_geometry
from gemmconv.explanation.counts import count
from gemmconv.explanation.facts import Facts
from gemmconv.explanation.problem import Options, Problem

MODES = ["zeros", "reflect", "edge", "wrap", "symmetric"]
NAMES = ["valid", "same", "same_lower", "full", "causal"]

# How many geometries a test draws, and how many tests draw.
AT_A_TIME, TIMES = 150, 14 if settings.default.max_examples > 500 else 5

# The largest case that is computed in the page: its multiplications, and the numbers of its patch matrix.
MOST_MULTIPLICATIONS, MOST_PATCHES = 2_000_000, 100_000

ANSWER = """text => {
  const answer = ({problem, output, input, weight}) => {
    if (typeof problem.value === "string") problem.value = {inf: Infinity, "-inf": -Infinity, nan: NaN}[problem.value];
    const g = core.geometry(problem), {rank, inputs, outputs, kernel, pads, extents, formula} = g;
    return {
      geometry: {rank, inputs, outputs, kernel, pads, extents, formula},
      y: core.forward(problem), P: core.P(problem), K: core.K(problem), gradients: core.gradients(problem),
      row: core.row(problem, output), column: core.column(problem, input), ties: core.ties(problem, weight),
      counts: core.counts(problem),
    };
  };
  const answers = JSON.parse(text).map(asked => {
    try { return answer(asked); } catch (error) {
      if (!(error instanceof core.Misfit)) throw error;
      return {refused: error.message};
    }
  });
  return JSON.stringify(answers, (_, value) => ArrayBuffer.isView(value) ? Array.from(value)
    : typeof value === "number" && !Number.isFinite(value) ? String(value) : value);
}"""


@pytest.fixture(scope="module")
def ask(chromium, tmp_path_factory):
    """Return a function that sends problems to core.js, and returns what it computes or why it refuses."""
    script = files("gemmconv.explanation").joinpath("page", "core.js").read_text()
    file = tmp_path_factory.mktemp("page") / "core.html"
    file.write_text(f"<!DOCTYPE html><meta charset=utf-8><link rel=icon href=data:,><script>{script}</script>")
    page = opened(chromium, file)

    def answers(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return json.loads(page.page.evaluate(ANSWER, json.dumps(asked)))

    yield answers
    page.check()
    page.page.context.close()


@dataclass
class Drawn:
    """A convolution, or a transposed one, of one image; the options have the names of the library."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    options: dict[str, Any]
    transposed: bool = False
    grad: np.ndarray | None = None
    at: list[int] = field(default_factory=list)

    def problem(self) -> dict[str, Any]:
        """Return the problem in the form of the page."""
        rank = self.weight.ndim - 2
        options = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros", **self.options}
        padding = options["padding"]
        if not isinstance(padding, str):
            padding = [pair if isinstance(pair, tuple) else (pair, pair) for pair in each(padding, rank)]
        modes = [{"circular": "wrap", "replicate": "edge"}.get(m, m) for m in each(options["padding_mode"], rank)]
        value = options.get("padding_value", 0)
        return {
            "x": {"shape": self.x.shape, "data": self.x.ravel().tolist()},
            "weight": {"shape": self.weight.shape, "data": self.weight.ravel().tolist()},
            "bias": None if self.bias is None else self.bias.tolist(),
            "grad": None if self.grad is None else self.grad.ravel().tolist(),
            "stride": each(options["stride"], rank),
            "dilation": each(options["dilation"], rank),
            "groups": options["groups"],
            "padding": padding,
            "modes": modes,
            "value": value if np.isfinite(value) else str(value),
            "flip": options.get("flip", False),
            "transposed": self.transposed,
            "outputPadding": each(options.get("output_padding", 0), rank),
        }

    def y(self) -> np.ndarray:
        """Return the output, from the library."""
        function = gemmconv.conv_transpose if self.transposed else gemmconv.conv
        return function(self.x, self.weight, self.bias, algorithm="gemm", **self.options)


def each(value: Any, rank: int) -> list[Any]:
    return list(value) if isinstance(value, tuple | list) else [value] * rank


def integers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-9, 10, shape).astype(np.float64)


def drawn_options(rng: np.random.Generator, rank: int, transposed: bool) -> dict[str, Any]:
    """Return options of every kind; whether they fit the sizes is left open."""

    def some(least: int, most: int) -> tuple[int, ...]:
        return tuple(int(n) for n in rng.integers(least, most + 1, rank))

    modes = tuple(MODES[max(int(n), 0)] for n in rng.integers(-4, 5, rank))
    options: dict[str, Any] = {"stride": some(1, 3), "dilation": some(1, 3), "padding_mode": modes}
    names = NAMES[:3] if transposed else NAMES[: 5 if rank == 1 else 4]
    is_named = rng.random() < 0.25
    options["padding"] = str(rng.choice(names)) if is_named else tuple(zip(some(-2, 4), some(-2, 4)))
    if transposed:
        limits = np.maximum(options["stride"], options["dilation"])
        is_same = options["padding"] in ("same", "same_lower")
        options["output_padding"] = (0,) * rank if is_same else tuple(int(rng.integers(n)) for n in limits)
        return options
    options["flip"] = bool(rng.random() < 0.4)
    if "zeros" in modes and rng.random() < 0.3:
        options["padding_value"] = float(rng.integers(-3, 4))
    return options


def draw(rng: np.random.Generator) -> Drawn:
    """Draw a convolution or a transposed one that the library computes, and an output, an input and a weight of it."""
    while True:
        rank, groups, transposed = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2, 3])), bool(rng.random() < 0.3)
        channels, outputs = (groups * int(n) for n in rng.integers(1, 3, 2))
        size, kernel = rng.integers(1, 9 - 2 * rank, rank), rng.integers(1, 5 if rank == 1 else 4, rank)
        kernels = (channels, outputs // groups) if transposed else (outputs, channels // groups)
        x, weight = integers(rng, channels, *size), integers(rng, *kernels, *kernel)
        bias = integers(rng, outputs) if rng.random() < 0.5 else None
        found = Drawn(x, weight, bias, {"groups": groups, **drawn_options(rng, rank, transposed)}, transposed)
        try:
            y = found.y()
        except ValueError:  # the kernel is too long, or there is no output
            continue
        found.grad = integers(rng, *y.shape) if rng.random() < 0.7 else None
        found.at = [int(rng.integers(array.size)) for array in (y, x, weight)]
        return found


def explained(one: Drawn) -> Facts:
    """Return the facts of the explanation; its padding modes may differ between axes."""
    given = one.options
    names = ("stride", "dilation", "groups", "padding", "flip", "output_padding")
    options = Options(transposed=one.transposed, **{name: given[name] for name in names if name in given})
    problem = Problem.make(one.x, one.weight, one.bias, options, one.grad)
    rank, known = problem.rank, {"zeros": "constant", "circular": "wrap", "replicate": "edge"}
    modes = [known.get(mode, mode) for mode in each(given.get("padding_mode", "zeros"), rank)]
    return Facts(replace(problem, modes=("constant",) * (3 - rank) + tuple(modes)))


def expected_matrices(one: Drawn, facts: Facts, y: np.ndarray) -> dict[str, Any]:
    """Return P and K as core.js gives them, from the library."""
    geometry, given, kernel = facts.problem.geometry, one.options, one.weight.shape[2:]
    alike = {name: given[name] for name in ("groups", "flip") if name in given}
    windows = {name: given[name] for name in ("stride", "dilation", "padding_mode") if name in given}
    windows["padding"] = geometry.pads

    def dense(weight: np.ndarray) -> np.ndarray:
        K = gemmconv.kernel_matrix(weight, **alike)
        return K if isinstance(K, np.ndarray) else K.toarray()

    read = y if one.transposed else one.x
    counted = np.arange(1.0, read.size + 1).reshape(read.shape)
    places = gemmconv.im2col(counted, kernel, **windows) - 1
    K, weights = dense(one.weight), dense(np.arange(1.0, one.weight.size + 1).reshape(one.weight.shape)) - 1
    if one.transposed:
        P = K.T @ one.x.reshape(len(one.x), -1)
    else:
        P = gemmconv.im2col(one.x, kernel, **windows, padding_value=given.get("padding_value", 0))
    return {
        "P": {"rows": len(P), "columns": P.shape[1], "source": places, "data": P},
        "K": {"rows": len(K), "columns": K.shape[1], "weight": weights, "data": K},
    }


def expected_gradients(one: Drawn, facts: Facts, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the gradients from the library."""
    g = np.ones(y.shape) if one.grad is None else one.grad
    options = {name: value for name, value in one.options.items() if name != "output_padding"}
    options |= {"padding": facts.problem.geometry.pads, "algorithm": "gemm"}
    bias, kernel = gemmconv.conv_bias_gradient(g[None]), one.weight.shape[2:]
    if one.transposed:
        of_x = gemmconv.conv(g, one.weight, **options)
        return {"x": of_x, "weight": gemmconv.conv_weight_gradient(one.x, g, kernel, **options), "bias": bias}
    of_x = gemmconv.conv_input_gradient(g, one.weight, one.x.shape[1:], **options)
    return {"x": of_x, "weight": gemmconv.conv_weight_gradient(g, one.x, kernel, **options), "bias": bias}


def expected_geometry(one: Drawn, facts: Facts, y: np.ndarray) -> dict[str, Any]:
    """Return the sizes from the library."""
    geometry, rank, kernel = facts.problem.geometry, facts.problem.rank, one.weight.shape[2:]
    strides, dilations = geometry.stride[3 - rank :], geometry.dilation[3 - rank :]
    more = each(one.options.get("output_padding", 0), rank)
    # output_padding makes the padding of the convolution smaller
    pads = [(before, after + n) for (before, after), n in zip(geometry.pads, more)]
    rows = zip(one.x.shape[1:], *zip(*pads), dilations, kernel, strides, more, y.shape[1:])
    return {
        "rank": rank,
        "inputs": one.x.shape,
        "outputs": y.shape,
        "kernel": kernel,
        "pads": pads,
        "extents": [(k - 1) * d + 1 for k, d in zip(kernel, dilations)],
        "formula": list(rows),
    }


def check(one: Drawn, answer: dict[str, Any]) -> None:
    """Assert that an answer of core.js is what the library computes."""
    y, facts = one.y(), explained(one)
    check_same(answer["geometry"], expected_geometry(one, facts, y))
    check_same(answer["y"], y)
    check_same({name: answer[name] for name in "PK"}, expected_matrices(one, facts, y))
    check_same(answer["gradients"], expected_gradients(one, facts, y))
    counts = count(facts.problem)._asdict()
    for name in ("fully_connected", "patch_rows", "patch_columns"):
        first, second = name.split("_")
        counts[first + second.capitalize()] = counts.pop(name)
    assert answer["counts"] == {**counts, "places": list(counts["places"])}
    output, x, weight = (
        tuple(map(int, np.unravel_index(at, of.shape))) for at, of in zip(one.at, (y, one.x, one.weight))
    )
    terms, readers, places = facts.terms(output), facts.readers(x), facts.places(weight)
    check_pairs(answer["row"], weight=terms.weights, input=terms.inputs)
    check_pairs(answer["column"], weight=readers.weights, output=readers.outputs)
    check_pairs(answer["ties"], output=places.outputs, input=places.inputs)


def check_pairs(found: list[dict[str, int]], **expected: np.ndarray) -> None:
    """Assert that a list of pairs has these columns, in the same order."""
    assert found == [dict(zip(expected, pair)) for pair in zip(*(column.tolist() for column in expected.values()))]


def check_same(found: Any, expected: Any) -> None:
    """Assert that numbers are equal, also where both are NaN, in dictionaries of arrays."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            check_same(found[name], value)
        return
    numbers = np.array(found, np.float64).ravel()
    assert np.array_equal(numbers, np.ravel(expected), equal_nan=True), (found, expected)


def asked(one: Drawn) -> dict[str, Any]:
    return {"problem": one.problem(), **dict(zip(("output", "input", "weight"), one.at))}


@pytest.mark.parametrize("seed", range(TIMES))
def test_all_numbers_are_those_of_the_library(ask, seed):
    rng = np.random.default_rng(seed)
    drawn = [draw(rng) for _ in range(AT_A_TIME)]
    for one, answer in zip(drawn, ask([asked(one) for one in drawn])):
        check(one, answer)


def of_case(case: Case, transposed: bool, rng: np.random.Generator) -> Drawn | None:
    """Return one image of a case, or None if it is too large for the page."""
    options, shape = dict(case.options), case.x[1 - len(case.weight) :]
    if "output_size" in options:  # the page has numbers for that
        names = ("stride", "padding", "dilation", "groups", "output_size")
        geometry = transposed_geometry(shape, case.weight, **{n: options[n] for n in names if n in options})
        options = {**options, "padding": geometry.pads}
        del options["output_size"]
    outputs = case.weight[1] * options.get("groups", 1) if transposed else case.weight[0]
    one = Drawn(integers(rng, *shape), integers(rng, *case.weight), integers(rng, outputs), options, transposed)
    y = one.y()
    pixels, depth = prod((one.x if transposed else y).shape[1:]), prod(case.weight[1:])
    if pixels * depth * case.weight[0] > MOST_MULTIPLICATIONS or pixels * depth > MOST_PATCHES:
        return None
    one.grad = integers(rng, *y.shape)
    one.at = [int(rng.integers(array.size)) for array in (y, one.x, one.weight)]
    return one


TABLES = {"cases": CASES, "kernels": KERNEL_CASES, "strided": STRIDED_CASES, "transposed": TRANSPOSED_CASES}


@pytest.mark.parametrize("table", TABLES)
def test_all_numbers_of_the_cases_are_those_of_the_library(ask, table):
    rng = np.random.default_rng(0)
    found = [of_case(case, table == "transposed", rng) for case in TABLES[table].values()]
    drawn = [one for one in found if one is not None]
    assert len(drawn) >= 0.4 * len(found)
    for one in drawn:
        check(one, ask([asked(one)])[0])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_padding_that_is_not_finite(ask, value):
    rng = np.random.default_rng(1)
    options = {"padding": ((1, 2), (2, 0)), "padding_mode": ("zeros", "wrap"), "padding_value": value}
    one = Drawn(integers(rng, 2, 4, 5), integers(rng, 3, 2, 3, 2), None, options, at=[0, 0, 0])
    check(one, ask([asked(one)])[0])


def by_torch(one: Drawn) -> list[np.ndarray]:
    """Return y and the gradients of x and of the weight, by PyTorch, for padding with a constant."""
    torch = pytest.importorskip("torch")
    functional, pad = torch.nn.functional, torch.nn.functional.pad

    x, weight = (torch.tensor(array, requires_grad=True) for array in (one.x, one.weight))
    bias = None if one.bias is None else torch.tensor(one.bias)
    rank, given = one.weight.ndim - 2, one.options
    names = {"stride": given["stride"], "dilation": given["dilation"], "groups": given["groups"]}
    # in the order of functional.pad: before and after of the last axis first
    pads = [number for pair in reversed(given["padding"]) for number in pair]
    if one.transposed:
        whole = getattr(functional, f"conv_transpose{rank}d")(x[None], weight, **names)
        kept = [-number for number in pads]
        for axis, more in enumerate(reversed(given["output_padding"])):
            kept[2 * axis + 1] += more
        y = pad(whole, kept)[0]
        y = y if bias is None else y + bias.reshape(-1, *[1] * rank)
    else:
        kernels = weight.flip(*range(2, rank + 2)) if given["flip"] else weight
        wide = pad(x, [max(number, 0) for number in pads], value=given.get("padding_value", 0))
        padded = pad(wide, [min(number, 0) for number in pads])
        y = getattr(functional, f"conv{rank}d")(padded[None], kernels, bias, **names)[0]
    y.backward(torch.ones_like(y) if one.grad is None else torch.tensor(one.grad))
    return [y.detach().numpy(), x.grad.numpy(), weight.grad.numpy()]


def test_numbers_are_those_of_pytorch(ask):
    rng = np.random.default_rng(100)
    drawn: list[Drawn] = []
    while len(drawn) < 200:
        one = draw(rng)
        if not isinstance(one.options["padding"], str) and {*one.options["padding_mode"]} == {"zeros"}:
            drawn.append(one)
    assert {one.transposed for one in drawn} == {True, False}
    for one, answer in zip(drawn, ask([asked(one) for one in drawn])):
        for found, expected in zip(
            (answer["y"], answer["gradients"]["x"], answer["gradients"]["weight"]), by_torch(one)
        ):
            check_same(found, expected)


def longer(values: Any) -> tuple[Any, ...]:
    return (*values, values[0])


def with_one_more(array: np.ndarray | None, axis: int) -> np.ndarray:
    array = np.ones(1) if array is None else array
    return np.concatenate([array, array.take([0], axis)], axis)


# What makes no sense in most problems, by what is wrong.
MISTAKES = {
    "cropped": lambda one: one.options.update(padding=tuple((-2, -1) for _ in one.options["stride"])),
    "padded": lambda one: one.options.update(padding=tuple((4, 5) for _ in one.options["stride"])),
    "dilation": lambda one: one.options.update(dilation=tuple(5 * n for n in one.options["dilation"])),
    "groups": lambda one: one.options.update(groups=one.options["groups"] + 1),
    "groups 0": lambda one: one.options.update(groups=0),
    "channels of x": lambda one: replace(one, x=with_one_more(one.x, 0)),
    "channels of weight": lambda one: replace(one, weight=with_one_more(one.weight, 1)),
    "kernels": lambda one: replace(one, weight=with_one_more(one.weight, 0)),
    "axes of weight": lambda one: replace(one, weight=one.weight[..., None]),
    "axes of x": lambda one: replace(one, x=one.x[0]),
    "empty": lambda one: replace(one, x=one.x[..., :0]),
    "bias": lambda one: replace(one, bias=with_one_more(one.bias, 0)),
    "grad": lambda one: replace(one, grad=with_one_more(one.y(), 1)),
    "stride 0": lambda one: one.options.update(stride=tuple(0 for _ in one.options["stride"])),
    "dilation 0": lambda one: one.options.update(dilation=(0, *one.options["dilation"][1:])),
    "strides": lambda one: one.options.update(stride=longer(one.options["stride"])),
    "mode": lambda one: one.options.update(padding_mode=("mirror", *one.options["padding_mode"][1:])),
    "modes": lambda one: one.options.update(padding_mode=longer(one.options["padding_mode"])),
    "value": lambda one: one.options.update(padding_value=2.0),
    "flip": lambda one: one.options.update(flip=True),
    "paddings": lambda one: one.options.update(padding=((1, 1),) * (one.x.ndim)),
    "causal": lambda one: one.options.update(padding="causal"),
    "full": lambda one: one.options.update(padding="full"),
    "name": lambda one: one.options.update(padding="equal"),
    "output_padding": lambda one: one.options.update(output_padding=one.options["dilation"]),
    "same": lambda one: one.options.update(padding="same", output_padding=one.options["stride"]),
}


def refusal(one: Drawn) -> str | None:
    """Return what the library says of a problem, or None if it computes it."""
    if one.x.size == 0:  # conv takes it, but there is nothing to draw
        return "no axis may be empty"
    try:
        y = one.y()
        if one.grad is not None:
            check_array_shape("grad_output", one.grad.shape, y.shape, "the output")
    except (TypeError, ValueError) as error:
        return str(error)
    return None


# Where core.js has words of its own: the page has no batch, no names of modes of PyTorch, and one form of each option.
OWN_WORDS = {"axes of x", "axes of weight", "empty", "grad", "mode", "value", "flip", "output_padding", "same"}


def test_what_the_library_refuses_is_refused(ask):
    rng = np.random.default_rng(200)
    refused = dict.fromkeys(MISTAKES, 0)
    made = []
    for mistake in [*MISTAKES] * 20:
        one = draw(rng)
        one.grad = None
        made.append((mistake, MISTAKES[mistake](one) or one))
    for (mistake, one), answer in zip(made, ask([asked(one) for _, one in made])):
        expected, found = refusal(one), answer.get("refused")
        assert (expected is None) == (found is None), (mistake, expected, found)
        if expected is not None:
            assert mistake in OWN_WORDS or expected.startswith(found), (mistake, expected, found)
            refused[mistake] += 1
    assert min(refused.values()) >= 3
    assert sum(refused.values()) >= 300


@pytest.mark.parametrize(
    ("padding", "what"),
    [(((1 << 24, 0),), "the output"), (((-2, 1 << 24),), "the output"), ("same", "the padded input")],
)
def test_what_a_browser_has_no_memory_for_is_refused(ask, padding, what):
    options = {"padding": padding, "dilation": (1 << 23,)}
    one = Drawn(np.ones((1, 9)), np.ones((1, 1, 1 if what == "the output" else 3)), None, options, at=[0, 0, 0])
    assert ask([asked(one)])[0]["refused"].startswith(f"{what} would have 1677")
