"""The command ``gemmconv explain``: what it takes, what it prints and where to, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fresh import run_python

import gemmconv
from gemmconv import cli
from gemmconv.explanation import EXAMPLES, command, example
from gemmconv.explanation.inputs import padding
from gemmconv.explanation.text import ALL

TRUTH = {"x": "[[1,2,3,4]]", "weight": "[[[5,6,7]]]"}


def test_default(call):
    assert call() == (0, example("small").text(100), "")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(call, name):
    assert call("--example", name, "--backward", "--width", 80) == (0, example(name).text(80, backward=True), "")


def test_list(call):
    code, out, _ = call("--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(EXAMPLES)


def test_options_change_an_example(call):
    code, out, _ = call("--example", "channels", "--stride", 2, "--show", "size")
    assert code == 0
    assert out.startswith("x (3, 4, 4) -> y (2, 2, 2)")


def test_every_option_of_conv(call):
    code, out, _ = call(
        *("--x", "4x5x6", "--weight", "2x2x2x2", "--bias", "[3, 4]", "--stride", "2,1", "--padding=1:2,-1:3"),
        *("--dilation", "1,2", "--groups", 2, "--padding-mode", "edge", "--flip", "--at", "1,0,2", "--format", "json"),
    )
    assert code == 0
    x, weight = np.arange(1.0, 121).reshape(4, 5, 6), np.arange(1.0, 17).reshape(2, 2, 2, 2)
    options = {"stride": (2, 1), "padding": ((1, 2), (-1, 3)), "dilation": (1, 2), "groups": 2}
    y = gemmconv.conv(x, weight, [3, 4], **options, padding_mode="edge", flip=True, algorithm="gemm")
    assert json.loads(out)["y"] == y.tolist()
    assert json.loads(out)["at"] == [1, 0, 2]


def test_transposed(call):
    code, out, _ = call(
        *("--x", "2x3", "--weight", "2x1x3", "--transposed", "--stride", 2, "--output-padding", 1, "--format", "json")
    )
    assert code == 0
    x, weight = np.arange(1.0, 7).reshape(2, 3), np.arange(1.0, 7).reshape(2, 1, 3)
    assert json.loads(out)["y"] == gemmconv.conv_transpose(x, weight, stride=2, output_padding=1).tolist()


def test_modes_values_and_sizes(call):
    x, weight = np.arange(1.0, 21).reshape(1, 4, 5), np.arange(1.0, 10).reshape(1, 1, 3, 3)
    arrays = ["--x", "1x4x5", "--weight", "1x1x3x3", "--padding", 1, "--format", "json"]
    code, out, _ = call(*arrays, "--padding-mode", "zeros,wrap", "--padding-value", 7)
    assert code == 0
    options = {"padding": 1, "padding_mode": ("zeros", "wrap"), "padding_value": 7, "algorithm": "gemm"}
    assert json.loads(out)["y"] == gemmconv.conv(x, weight, **options).tolist()
    code, out, _ = call(
        *arrays, "--transposed", "--stride", 2, "--output-size", "8,9", "--padding-mode", "reflect,edge"
    )
    assert code == 0
    options = {"padding": 1, "padding_mode": ("reflect", "edge"), "stride": 2, "output_size": (8, 9)}
    assert json.loads(out)["y"] == gemmconv.conv_transpose(x, weight, **options, algorithm="gemm").tolist()
    assert call("--padding-value=-inf", "--padding", 1, "--show", "size")[0] == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("1,2", (1, 2)),
        ("1:2", ((1, 2),)),
        ("1:2,0:3", ((1, 2), (0, 3))),
        ("1,0:3", (1, (0, 3))),
        ("same_lower", "same_lower"),
    ],
)
def test_padding(text, value):
    assert padding(text) == value


def test_arrays_in_every_form(call, tmp_path, monkeypatch):
    expected = gemmconv.explain([[1, 2, 3, 4]], [[[5, 6, 7]]]).text()
    path = tmp_path / "x.npy"
    np.save(path, np.array([[1.0, 2, 3, 4]]))
    assert call("--x", TRUTH["x"], "--weight", TRUTH["weight"]) == (0, expected, "")
    assert call("--x", "1x4", "--weight", TRUTH["weight"]) == (0, expected, "")
    assert call("--x", path, "--weight", TRUTH["weight"]) == (0, expected, "")
    monkeypatch.setattr(sys, "stdin", io.StringIO(TRUTH["x"]))
    assert call("--x", "-", "--weight", TRUTH["weight"]) == (0, expected, "")


def test_missing_axes_are_added_and_said_so(call):
    code, out, err = call("--x", "[1,2,3,4]", "--weight", "[5,6,7]")
    assert (code, out) == (0, gemmconv.explain([[1, 2, 3, 4]], [[[5, 6, 7]]]).text())
    assert err == (
        "gemmconv explain: weight is taken as one kernel of one channel, (1, 1, 3)\n"
        "gemmconv explain: x is taken as one channel, (1, 4)\n"
    )


def test_one_image_of_a_batch(call):
    x = np.arange(24.0).reshape(2, 3, 4)
    code, out, err = call("--x", json.dumps(x.tolist()), "--weight", "1x3x2", "--image", 1)
    assert (code, err) == (0, "gemmconv explain: x is image 1 of 2, (3, 4)\n")
    assert out == gemmconv.explain(x[1], np.arange(1.0, 7).reshape(1, 3, 2)).text()
    assert call("--x", "2x3x4", "--weight", "1x3x2", "--image", 2)[0] == 2
    assert call("--x", "3x4", "--weight", "1x3x2", "--image", 0)[0] == 2
    assert call("--x", "10000x3x4000", "--weight", "1x3x2")[0] == 2


def test_a_file_of_arrays_and_options(call, tmp_path):
    path = tmp_path / "layer.npz"
    x, weight, gradient = np.arange(16.0).reshape(2, 8), np.ones((2, 1, 3)), np.arange(8.0).reshape(2, 4)
    np.savez(
        *(path,),
        x=x,
        weight=weight,
        bias=np.array([1.0, 2]),
        grad_output=gradient,
        stride=2,
        padding="same",
        groups=2,
        flip=True,
    )
    made = gemmconv.explain(x, weight, [1, 2], stride=2, padding="same", groups=2, flip=True, grad_output=gradient)
    assert call("--from", path, "--backward") == (0, made.text(backward=True), "")
    code, out, _ = call("--from", path, "--padding", "full", "--format", "json", "--grad", "2x5")
    assert code == 0
    assert json.loads(out)["options"]["padding"] == "full"


def test_programs_latex_and_sections(call):
    small = example("small")
    assert call("--code", "numpy") == (0, small.code("numpy"), "")
    assert call("--code") == (0, small.code(), "")
    assert call("--format", "latex") == (0, "\n".join(small.latex(letter) for letter in "PKM"), "")
    assert call("--show", "sum,x") == (0, small.text(show=["sum", "x"]), "")
    assert call("--values") == (0, small.text(letters=False), "")
    assert call("--letters") == (0, small.text(letters=True), "")
    assert call("--digits", "2", "--weight", "[[[[0.123]]]]", "--x", "1x2x2", "--show", "weight") == (
        *(0, "weight, and the letter by which M names each\n  kernel 0   a=0.12\n", ""),
    )
    code, out, _ = call("--backward", "--weight-at", "0,0,1,1", "--input-at", "0,3,3", "--show", "backward")
    assert code == 0
    assert "weight d = weight[0, 0, 1, 1]" in out
    assert "input x[0, 3, 3] = 16" in out


def test_gradients_of_ones_own(call):
    code, out, _ = call("--x", "1x3", "--weight", "1x1x2", "--grad", "[[10, 100]]", "--show", "backward")
    assert code == 0
    assert "here 1 everywhere" not in out
    assert "10*1 + 100*2 = 210" in out


# What makes no sense, and what is said about it.
MISTAKES = {
    "unknown_example": (["--example", "nothing"], "there is no example 'nothing'; the examples are small, channels"),
    "example_and_arrays": (["--example", "small", "--x", "3x3"], "an example has its own arrays"),
    "example_and_image": (["--image", "1"], "an example has its own arrays"),
    "code_and_format": (["--code", "numpy", "--format", "json"], "--code prints programs: leave out --format"),
    "two_files_on_standard_output": (["--plot", "-", "--html", "-"], "cannot both write to standard output"),
    "no_weight": (["--x", "3x3"], "--weight is missing"),
    "not_json": (["--x", "[1,", "--weight", "[1]"], "--x is '[1,', but must be JSON, a shape such as 3x4x4"),
    "ragged": (["--x", "[[1],[1,2]]", "--weight", "[1]"], "x has rows of different lengths"),
    "words": (["--x", '["a"]', "--weight", "[1]"], "x must hold numbers, not <U1"),
    "channels": (["--x", "3x4x4", "--weight", "2x2x2x2"], "weight has 2 input channels, but x has 3 (groups=1); rule:"),
    "too_long": (["--x", "1x2", "--weight", "1x1x3"], "the kernel covers 3 positions of spatial axis 0"),
    "axes": (
        ["--x", "3x32x32", "--weight", "16x5x5"],
        "with 2 spatial axes, the shape of --weight needs 4 numbers, for example 16x3x5x5",
    ),
    "axes_of_a_large_layer": (["--x", "3x9000x9000", "--weight", "16x5x5"], "4 numbers, for example 16x3x5x5"),
    "stride": (["--stride", "0"], "stride must be at least 1, not 0"),
    "strides": (["--stride", "1,2,3"], "stride must be an int or one int per spatial axis, of which there are 2"),
    "padding": (["--padding", "Same"], "; did you mean 'same'?"),
    "mode": (["--padding-mode", "mirror"], "; here that is 'reflect'"),
    "modes": (["--padding-mode", "wrap,edge,edge"], "one string per spatial axis, of which there are 2, not ('wrap', "),
    "value": (["--padding-mode", "wrap", "--padding-value", "1"], "padding_value=1.0 is for padding_mode='zeros'"),
    "output_size": (["--transposed", "--output-size", "9"], "output_size is 9 along spatial axis 0, but must be "),
    "at": (["--at", "0,3,3"], "at is (0, 3, 3), but y has shape (1, 3, 3): expected 3 numbers, each smaller"),
    "weight_at": (["--weight-at", "0,0"], "weight_at is (0, 0), but weight has shape (1, 1, 2, 2)"),
    "latex": (["--x", "1x99x99", "--weight", "1x1x1x1", "--format", "latex"], "LaTeX is written for at most 60 rows"),
    "code": (["--dilation", "2", "--code", "scipy"], "scipy: there is no transposed convolution and no dilation"),
    "grad": (["--x", "1x3", "--weight", "1x1x2", "--grad", "[1]"], "grad_output has shape (1, 1), but the output has"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_makes_no_sense(call, name):
    words, message = MISTAKES[name]
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.startswith("gemmconv explain: error: ")
    assert message in err


@pytest.mark.parametrize(
    "words",
    [
        ["--width", "59"],
        ["--digits", "0"],
        ["--show", "z"],
        ["--show", ""],
        ["--code", "theano"],
        ["--stride", "a"],
        ["--at", "x"],
        ["--letters", "--values"],
        ["--html"],
    ],
)
def test_what_argparse_refuses(call, words):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert "usage: gemmconv" in err


def test_messages_are_those_of_the_library(call):
    with pytest.raises(ValueError, match="the kernel covers") as error:
        gemmconv.conv(np.ones((1, 2)), np.ones((1, 1, 3)))
    hint = "; use a smaller kernel, or --padding"
    assert call("--x", "1x2", "--weight", "1x1x3")[2] == f"gemmconv explain: error: {error.value}{hint}\n"


def test_gradients_of_another_number_of_images(call, tmp_path):
    file = tmp_path / "layer.npz"
    np.savez(file, x=np.ones((3, 1, 4)), weight=np.ones((1, 1, 2)), grad_output=np.ones((1, 1, 3)))
    code, _, err = call("--from", file, "--image", 2)
    assert code == 2
    assert "grad_output has 1 images, but x has 3" in err


def test_transposed_is_true_or_false(call, tmp_path):
    file = tmp_path / "layer.npz"
    np.savez(file, x=np.ones((1, 4)), weight=np.ones((1, 1, 2)), transposed="no")
    code, _, err = call("--from", file)
    assert (code, err) == (2, "gemmconv explain: error: transposed must be True or False, not 'no'\n")


def test_messages_name_the_file_that_was_asked_for(call, tmp_path):
    for file in (tmp_path / "missing" / "page.html", tmp_path):
        code, _, err = call("--html", file, "--force")
        assert code == 1
        assert err.endswith(f": {str(file)!r}\n")


def test_a_missing_folder_is_named(call, tmp_path):
    folder = tmp_path / "missing"
    for option in ("--plot", "--html"):
        code, out, err = call(option, folder / "small.svg")
        assert (code, out) == (1, "")
        assert f"there is no folder {str(folder)!r}" in err


@pytest.mark.parametrize("option", [("--weight-at", "0,0,0,1"), ("--input-at", "0,2,2")])
def test_a_weight_or_an_input_implies_backward(call, option):
    assert call(*option) == call(*option, "--backward")
    assert "\nBACKWARD " in call(*option)[1]
    assert call(*option, "--plot", "-") == call(*option, "--backward", "--plot", "-")


def test_another_name_of_torch(call):
    assert call("--code", "pytorch") == call("--code", "torch") == (0, example("small").code("torch"), "")


def test_negative_padding(call):
    for words in (["--padding", "-1"], ["--padding=-1"], ["--padding=-1,-1"]):
        code, out, _ = call(*words, "--show", "size")
        assert code == 0
        assert "stride 1, padding -1, " in out


def test_a_gradient_without_its_channel(call):
    words = ["--x", "3x3", "--weight", "2x2", "--grad", "[[1, 2], [3, 4]]", "--backward", "--show", "backward"]
    code, out, err = call(*words)
    assert code == 0
    assert "1*1 + 2*2 + 3*4 + 4*5 = 37" in call(*words, "--weight-at", "0,0,0,0")[1]
    assert "grad_output is taken as one channel, (1, 2, 2)" in err
    assert "here 1 everywhere" not in out


def test_files_that_cannot_be_read(call, tmp_path):
    text, one = tmp_path / "text.npz", tmp_path / "one.npy"
    text.write_text("no arrays")
    np.save(one, np.ones(3))
    objects = tmp_path / "objects.npz"
    np.savez(objects, x=np.array([{}], object), weight=np.ones(3))
    for words in (
        ["--from", tmp_path / "missing.npz"],
        ["--from", text],
        ["--from", one],
        ["--from", objects],
        ["--x", tmp_path / "missing.npy", "--weight", "[1]"],
    ):
        code, out, err = call(*words)
        assert (code, out) == (1, "")
        assert err.startswith("gemmconv explain: error: ")
    unknown = tmp_path / "unknown.npz"
    np.savez(unknown, x=np.ones((1, 3)), kernel=np.ones(3))
    code, _, err = call("--from", unknown)
    assert code == 2
    assert "holds 'kernel', which is none of x, weight, bias, grad_output, stride" in err


def test_colours(call, monkeypatch):
    plain, coloured = call("--color", "never")[1], call("--color", "always")[1]
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured
    assert call()[1] == plain

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for variable, expected in ((None, coloured), ("1", plain), ("", coloured)):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(command.shutil, "get_terminal_size", lambda *_: os.terminal_size((100, 24)))
        monkeypatch.delenv("NO_COLOR", raising=False)
        if variable is not None:
            monkeypatch.setenv("NO_COLOR", variable)
        assert cli.main(["explain"]) == 0
        assert terminal.getvalue() == expected


@pytest.mark.parametrize(("columns", "width"), [(72, 72), (40, 60)])
def test_the_width_is_that_of_the_terminal(monkeypatch, columns, width):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(command.shutil, "get_terminal_size", lambda *_: os.terminal_size((columns, 24)))
    assert cli.main(["explain", "--example", "channels"]) == 0
    assert terminal.getvalue() == example("channels").text(width)


def test_a_reader_that_goes_away():
    words = [sys.executable, "-m", "gemmconv", "explain", "--example", "channels"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.parametrize("words", [["--html", "-"], ["--plot", "-"]])
def test_a_reader_of_a_file_that_goes_away(words):
    process = subprocess.Popen(
        [sys.executable, "-m", "gemmconv", "explain", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_no_space_for_the_text():
    with open("/dev/full", "wb") as full:
        words = [sys.executable, "-m", "gemmconv", "explain"]
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert re.fullmatch(r"gemmconv: error: .*No space left on device\n", ended.stderr)


def test_interrupted(call, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "read_problem", interrupt)
    assert call()[0] == 130


def test_help_needs_nothing_else(call):
    code, out, _ = call("--help")
    assert code == 0
    for option in ("--example", "--padding-mode", "--backward", "--code", "--format"):
        assert option in out


@pytest.mark.parametrize("words", [["info"], ["--help"], ["--version"]])
def test_only_explain_imports_the_explanation(words):
    code = """
    import contextlib, io, sys
    from gemmconv import cli
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        cli.main(sys.argv[1:])
    print([name for name in sys.modules if name.startswith("gemmconv.explanation")])
    """
    assert run_python(code, *words) == "[]"


@pytest.mark.parametrize("name", ["channels", "groups", "circular", "transposed"])
def test_no_sparse_matrix_is_built_for_a_text(name):
    code = """
    import contextlib, io, sys
    from gemmconv import cli
    with contextlib.redirect_stdout(io.StringIO()):
        cli.main(["explain", "--example", sys.argv[1], "--backward"])
    print([name for name in sys.modules if name.startswith("scipy.sparse")])
    """
    assert run_python(code, name) == "[]"


def test_explain_does_not_import_the_benchmark():
    code = """
    import contextlib, io, sys
    from gemmconv import cli
    with contextlib.redirect_stdout(io.StringIO()):
        cli.main(["explain"])
    print([name for name in sys.modules if name.split(".")[0] in ("rich", "matplotlib") or "gemmconv.bench" in name])
    """
    assert run_python(code) == "[]"


PAGE = (Path(__file__).parents[1] / "docs" / "explain.md").read_text()


@pytest.mark.parametrize(("words", "text"), re.findall(r"```text\n\$ gemmconv explain (.*)\n([^`]*)```", PAGE))
def test_what_the_page_prints(call, words, text):
    assert call(*words.split()) == (0, text, "")


def test_the_page_names_every_section_and_example_runs():
    assert all(f"`{name}`" in PAGE for name in ALL)
    assert len(re.findall(r"^\$ gemmconv explain", PAGE, re.MULTILINE)) == 5
