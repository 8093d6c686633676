"""The controls of the page: each one changes the problem as it says, and nothing else."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from controls import SHAPES, check_y, choose, enter, message, problem

from gemmconv.explanation import EXAMPLES, example

SLIDERS = {
    "channels": (5, [[5, 4, 4], [2, 5, 2, 2]]),
    "size": (6, [[3, 6, 6], [2, 3, 2, 2]]),
    "kernels": (4, [[3, 4, 4], [4, 3, 2, 2]]),
    "kernel": (3, [[3, 4, 4], [2, 3, 3, 3]]),
}


@pytest.mark.parametrize("label", SLIDERS)
def test_sliders_of_sizes(fresh, label):
    value, shapes = SLIDERS[label]
    fresh.get_by_label(label, exact=True).fill(str(value))
    assert fresh.evaluate(f"({SHAPES})(page.state)") == shapes
    assert fresh.get_by_label(f"{label} as a number").input_value() == str(value)
    for name in ("x", "weight"):  # they were 1, 2, 3, ... and still are
        assert problem(fresh)[name]["data"] == list(range(1, prod(problem(fresh)[name]["shape"]) + 1))
    assert fresh.evaluate("page.state.name") == ""
    assert fresh.get_by_label("example", exact=True).input_value() == ""
    check_y(fresh)
    enter(fresh, f"{label} as a number", value - 1)
    assert fresh.get_by_label(label, exact=True).input_value() == str(value - 1)
    check_y(fresh)


OPTIONS = {
    "stride": (2, "stride", [2, 2]),
    "padding": (-1, "padding", [[-1, -1], [-1, -1]]),
    "dilation": (3, "dilation", [3, 3]),
}


@pytest.mark.parametrize("label", OPTIONS)
def test_sliders_of_options(fresh, label):
    value, name, expected = OPTIONS[label]
    fresh.get_by_label(label, exact=True).fill(str(value))
    assert problem(fresh)[name] == expected
    check_y(fresh)


LIMITS = {
    "channels": (1, 8),
    "size": (1, 16),
    "kernels": (1, 8),
    "kernel": (1, 7),
    "stride": (1, 4),
    "padding": (-2, 6),
    "dilation": (1, 4),
    "padding before of axis 0": (-2, 6),
    "output padding of axis 0": (0, 3),
    "size of axis 1": (1, 16),
}


def test_limits(fresh):
    def limits(label):
        return fresh.get_by_label(label, exact=True).evaluate("({min, max}) => [Number(min), Number(max)]")

    assert {label: tuple(limits(label)) for label in LIMITS} == LIMITS
    for rank, largest in ((1, 32), (3, 4)):
        fresh.get_by_label("axes").select_option(str(rank))
        assert limits("size") == [1, largest]
    enter(fresh, "channels as a number", 99)
    assert problem(fresh)["x"]["shape"][0] == 8
    assert message(fresh) == "channels: at most 8, not 99."
    enter(fresh, "channels as a number", "")
    assert problem(fresh)["x"]["shape"][0] == 8
    fresh.evaluate("page.set({problem: {...first.problem, x: {shape: [3, 20, 4], data: Array(240).fill(1)}}})")
    assert limits("size") == [1, 20]
    assert fresh.get_by_label("size as a number").input_value() == ""


AXES = {
    "size of axis 0": (6, "x", [3, 6, 4]),
    "kernel of axis 1": (3, "weight", [2, 3, 2, 3]),
    "stride of axis 0": (2, "stride", [2, 1]),
    "dilation of axis 1": (2, "dilation", [1, 2]),
    "padding before of axis 0": (2, "padding", [[2, 0], [0, 0]]),
    "padding after of axis 1": (-1, "padding", [[0, 0], [0, -1]]),
}


@pytest.mark.parametrize("label", AXES)
def test_what_is_set_per_axis(fresh, label):
    value, name, expected = AXES[label]
    enter(fresh, label, value)
    found = problem(fresh)[name]
    assert (found["shape"] if name in ("x", "weight") else found) == expected
    check_y(fresh)


def test_modes_per_axis_and_the_padding_value(fresh):
    fresh.get_by_label("padding", exact=True).fill("2")
    enter(fresh, "padding value", 7)
    assert problem(fresh)["value"] == 7
    check_y(fresh)
    fresh.get_by_label("beyond the edge of axis 1").select_option("wrap")
    assert problem(fresh)["modes"] == ["zeros", "wrap"]
    assert problem(fresh)["value"] == 7
    check_y(fresh)
    for mode in ("reflect", "edge", "wrap", "symmetric", "zeros"):
        fresh.get_by_label("beyond the edge", exact=True).select_option(mode)
        assert problem(fresh)["modes"] == [mode] * 2
        assert problem(fresh)["value"] == 0
        check_y(fresh)
    enter(fresh, "padding value", 7)
    fresh.get_by_label("beyond the edge of axis 0").select_option("edge")
    fresh.get_by_label("beyond the edge of axis 1").select_option("edge")
    assert problem(fresh)["value"] == 0
    enter(fresh, "padding value", 7)
    assert "padding_value=7 is for padding_mode='zeros'" in message(fresh)


def test_padding_by_name(fresh):
    fresh.get_by_label("kernel", exact=True).fill("3")
    boxes = [fresh.locator("#controls").get_by_label(label, exact=True) for label in ("padding", "padding as a number")]
    assert [box.is_disabled() for box in boxes] == [False, False]
    for name, size in {"same": 4, "same_lower": 4, "full": 6, "valid": 2}.items():
        fresh.get_by_label("padding by name").select_option(name)
        assert [box.is_disabled() for box in boxes] == [name != "valid"] * 2
        assert problem(fresh)["padding"] == name
        assert fresh.evaluate("core.geometry(page.state.problem).outputs") == [2, size, size]
        check_y(fresh)
    fresh.get_by_label("padding by name").select_option("same")
    fresh.get_by_label("padding by name").select_option("numbers")
    assert problem(fresh)["padding"] == [[1, 1], [1, 1]]
    assert [box.is_disabled() for box in boxes] == [False, False]
    fresh.get_by_label("padding by name").select_option("causal")
    assert "is for 1-D convolutions" in message(fresh)
    assert problem(fresh)["padding"] == [[1, 1], [1, 1]]
    assert fresh.get_by_label("padding by name").input_value() == "numbers"
    fresh.get_by_label("axes").select_option("1")
    fresh.get_by_label("padding by name").select_option("causal")
    check_y(fresh)


def test_groups_divide_the_channels(fresh):
    groups = fresh.get_by_label("groups", exact=True)
    enabled = "select => [...select.options].filter(option => !option.disabled).map(option => Number(option.value))"
    assert groups.evaluate(enabled) == [1]
    choose(fresh, "groups")
    fresh.get_by_label("kernels", exact=True).fill("8")
    assert groups.evaluate(enabled) == [1, 2, 4]
    groups.select_option("4")
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[4, 3, 3], [8, 1, 2, 2]]
    check_y(fresh)
    fresh.get_by_label("channels", exact=True).fill("6")
    assert problem(fresh)["groups"] == 2
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[6, 3, 3], [8, 3, 2, 2]]
    check_y(fresh)


def test_flip_and_bias(fresh):
    fresh.get_by_label("flip").check()
    assert problem(fresh)["flip"] is True
    check_y(fresh)
    fresh.get_by_label("bias", exact=True).check()
    assert problem(fresh)["bias"] == [1, 2]
    check_y(fresh)
    fresh.get_by_label("kernels", exact=True).fill("3")
    assert problem(fresh)["bias"] == [1, 2, 3]
    check_y(fresh)
    fresh.get_by_label("bias", exact=True).uncheck()
    fresh.get_by_label("flip").uncheck()
    assert problem(fresh)["bias"] is None
    check_y(fresh)


def test_transposed(fresh):
    choose(fresh, "full")
    fresh.get_by_label("transposed").check()
    assert problem(fresh)["padding"] == "valid"
    assert problem(fresh)["flip"] is False
    check_y(fresh)
    fresh.get_by_label("stride", exact=True).fill("3")
    enter(fresh, "output padding of axis 0", 2)
    fresh.get_by_label("kernels", exact=True).fill("2")
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[1, 4], [1, 2, 3]]
    assert problem(fresh)["outputPadding"] == [2]
    check_y(fresh)
    fresh.get_by_label("padding", exact=True).fill("1")
    check_y(fresh)
    fresh.get_by_label("flip").click()
    assert message(fresh).startswith("a transposed convolution has neither flip")
    assert not fresh.get_by_label("flip").is_checked()
    fresh.get_by_label("transposed").uncheck()
    assert problem(fresh)["outputPadding"] == [0]
    check_y(fresh)


def test_axes(fresh):
    fresh.get_by_label("axes").select_option("3")
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[3, 4, 4, 4], [2, 3, 2, 2, 2]]
    check_y(fresh)
    assert fresh.locator("#controls th:visible").all_inner_texts()[-3:] == ["0: depth", "1: height", "2: width"]
    fresh.get_by_label("axes").select_option("1")
    assert fresh.evaluate(f"({SHAPES})(page.state)") == [[3, 4], [2, 3, 2]]
    check_y(fresh)
    assert fresh.locator("#controls th:visible").all_inner_texts()[-1] == "0: length"
    choose(fresh, "sharpen")
    enter(fresh, "stride of axis 1", 2)
    fresh.get_by_label("axes").select_option("1")
    assert problem(fresh)["stride"] == [2]
    assert problem(fresh)["x"] == {"shape": [1, 4], "data": [10, 10, 20, 20]}
    assert problem(fresh)["weight"]["data"] == [0, -1, 0] * 3
    fresh.get_by_label("axes").select_option("2")
    assert problem(fresh)["x"] == {"shape": [1, 4, 4], "data": [10, 10, 20, 20] + [0] * 12}
    check_y(fresh)


def test_numbers_stay_where_sizes_overlap(fresh):
    choose(fresh, "sharpen")
    enter(fresh, "size of axis 1", 5)
    assert problem(fresh)["x"]["data"] == [10, 10, 20, 20, 0] * 4
    enter(fresh, "size of axis 0", 3)
    assert problem(fresh)["x"]["data"] == [10, 10, 20, 20, 0] * 3
    fresh.get_by_label("kernels", exact=True).fill("1")
    assert problem(fresh)["weight"]["data"] == [0, -1, 0, -1, 5, -1, 0, -1, 0]
    check_y(fresh)


def test_what_does_not_fit_is_explained_and_the_last_problem_stays(fresh):
    before = problem(fresh)
    fresh.get_by_label("kernel", exact=True).fill("7")
    assert "the kernel covers 7 positions of spatial axis 0, but the padded input has 4" in message(fresh)
    assert problem(fresh) == before
    assert fresh.get_by_label("kernel", exact=True).input_value() == "2"
    assert fresh.get_by_label("kernel as a number").input_value() == "2"
    fresh.get_by_label("kernel", exact=True).fill("3")
    check_y(fresh)


def test_a_number_beyond_the_limit_is_named(fresh):
    enter(fresh, "kernel as a number", 9)
    assert message(fresh).startswith("kernel: at most 7, not 9. With 7: the kernel covers 7 positions")
    enter(fresh, "stride as a number", 0)
    assert message(fresh) == "stride: at least 1, not 0."
    enter(fresh, "stride as a number", 2)
    assert message(fresh) == ""


def test_what_is_too_large_is_refused(fresh):
    fresh.get_by_label("axes").select_option("3")
    for label in ("kernels", "channels"):
        fresh.get_by_label(label, exact=True).fill("8")
    fresh.get_by_label("padding", exact=True).fill("6")
    before = problem(fresh)
    fresh.get_by_label("kernel", exact=True).fill("7")
    assert message(fresh) == "the page takes at most 20000 numbers in x and weight, not 22464: choose smaller sizes"
    fresh.get_by_label("kernel", exact=True).fill("6")
    assert "at most 4194304 multiplications" in message(fresh)
    assert problem(fresh) == before


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(fresh, name):
    choose(fresh, name)
    assert fresh.evaluate("page.state.name") == name
    one = example(name)
    assert fresh.evaluate("[page.state.selection.kind, page.state.selection.at]") == [
        "output",
        int(np.ravel_multi_index(one.at, one.y.shape)),
    ]
    check_y(fresh)
    shown = fresh.get_by_label("example", exact=True).evaluate("select => select.selectedOptions[0].textContent")
    assert shown == EXAMPLES[name].about
