"""The command ``gemmconv explain``: its options, what it prints, and its exit codes.

Exit codes: 0 all is well, 1 a file cannot be read or written or matplotlib is missing, 2 the command makes no sense.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from .code import LIBRARIES
from .code import write_all as write_all_code
from .examples import EXAMPLES
from .explanation import NARROWEST, Explanation
from .files import STANDARD_OUTPUT, check_new, write_new
from .inputs import UnreadableError, index, ints, modes, padding, read_problem
from .text import ALL

# Columns where there is no terminal.
WIDTH = 100
ALL_LIBRARIES = "all"
PLOTS = (".svg", ".png", ".pdf", ".gif")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    problem = parser.add_argument_group("the convolution (default: --example small)").add_argument
    problem("--example", metavar="NAME", help="a named example; --list prints them")
    problem("--list", action="store_true", help="print the named examples and do nothing else")
    what = "arrays x, weight, and if wanted bias and grad_output; options as arrays or strings of their names"
    problem("--from", dest="file", metavar="FILE.npz", help=what)
    array = "JSON such as [[1,2],[3,4]], a shape such as 3x4x4 (filled with 1, 2, 3, ...), FILE.npy, or - for JSON on "
    array += "standard input; leading axes of size 1 may be left out"
    problem("--x", metavar="ARRAY", help=f"the input: {array}")
    problem("--weight", metavar="ARRAY", help="the kernels, in the same forms")
    problem("--bias", metavar="ARRAY", help="one number per output channel, in the same forms")
    grad = "the gradient of the output for --backward, in the same forms (default: 1 everywhere)"
    problem("--grad", dest="grad_output", metavar="ARRAY", help=grad)
    problem("--image", type=int, metavar="N", help="which image of a batch (default 0)")

    options = parser.add_argument_group("its options, as those of gemmconv.conv").add_argument
    options("--stride", type=ints, metavar="S", help="2, or one number per axis: 2,1")
    forms = "1, one number per axis: 1,2, before and after per axis: 1:2,0:3, or a name: valid, same, same_lower, "
    forms += "full, causal; several of which the first is negative need the form --padding=-1,0"
    options("--padding", type=padding, metavar="P", help=forms)
    options("--dilation", type=ints, metavar="D", help="2, or one number per axis: 2,1")
    options("--groups", type=ints, metavar="G", help="the number of groups")
    mode = "zeros, reflect, edge, wrap or symmetric, or one per axis: zeros,wrap"
    options("--padding-mode", type=modes, metavar="MODE", help=mode)
    value = "what the padding holds with the mode zeros (default 0); -inf needs the form --padding-value=-inf"
    options("--padding-value", type=float, metavar="V", help=value)
    options("--flip", action="store_true", default=None, help="reverse the kernels: the convolution of mathematics")
    options("--transposed", action="store_true", default=None, help="the transposed convolution")
    options("--output-padding", type=ints, metavar="P", help="positions added at its end")
    options("--output-size", type=ints, metavar="N", help="its size, instead of --output-padding: 5, or per axis: 5,6")

    shown = parser.add_argument_group("what to show")
    show = shown.add_argument
    show("--at", type=index, metavar="O,I,J", help="the output to write out (default: the middle one of channel 0)")
    show("--backward", action="store_true", help="also the gradients of one weight and of one input")
    default = "(implies --backward; default: one that the output"
    show("--weight-at", type=index, metavar="O,C,I,J", help=f"this weight {default} uses)")
    show("--input-at", type=index, metavar="C,I,J", help=f"this input {default} reads)")
    show("--show", type=_names, metavar="NAMES", help=f"only these sections, in this order: {','.join(ALL)}")
    form = shown.add_mutually_exclusive_group()
    form.add_argument(
        "--letters", dest="letters", action="store_true", default=None, help="M, and the sum of one output, by letters"
    )
    form.add_argument("--values", dest="letters", action="store_false", default=None, help="M by numbers")
    show("--digits", type=_digits, default=4, metavar="N", help="digits of numbers that are not integers (default 4)")
    libraries = [*LIBRARIES, ALL_LIBRARIES]
    code = f"print the same convolution as a program instead: {', '.join(libraries)} (default all)"
    show("--code", nargs="?", const=ALL_LIBRARIES, type=_library, choices=libraries, metavar="NAME", help=code)

    where = parser.add_argument_group("how to print").add_argument
    where("--format", choices=["text", "json", "latex"], help="latex: P, K and M (default text)")
    width = f"columns of the text, at least {NARROWEST} (default: those of the terminal; {WIDTH} where there is none)"
    where("--width", type=_width, metavar="N", help=width)
    color = "colours of the taps (default auto: on a terminal, unless NO_COLOR is set)"
    where("--color", choices=["auto", "always", "never"], default="auto", help=color)
    plot = (
        f"write the picture to FILE, which ends with {', '.join(PLOTS)}; a GIF shows all outputs one after another; - "
    )
    plot += "is an SVG on standard output. Text is then printed only with --show, --code or --format"
    where("--plot", type=_plot, metavar="FILE", help=plot)
    page = "write a page for browsers to FILE: one file that needs nothing else; - is standard output. Text is then "
    where("--html", metavar="FILE", help=page + "printed as with --plot")
    where("--open", action="store_true", help="show the page in a browser")
    where("--force", action="store_true", help="overwrite a file that exists")


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation."""
    if arguments.list:
        for name, example in EXAMPLES.items():
            print(f"{name:12}{example.about}")
        return 0
    try:
        _check(arguments)
        problem, at, remarks = read_problem(arguments)
        explanation = Explanation(problem, at if arguments.at is None else arguments.at)
        if arguments.plot is not None:
            _write_plot(explanation, arguments)
        if arguments.html is not None:
            _write_page(explanation, arguments)
        text = _text(explanation, arguments) if _prints_text(arguments) else ""
    except BrokenPipeError:
        raise
    except (OSError, UnreadableError, MemoryError, ImportError) as error:
        print(f"gemmconv explain: error: {error}", file=sys.stderr)
        return 1
    except (TypeError, ValueError) as error:
        print(f"gemmconv explain: error: {error}", file=sys.stderr)
        return 2
    for remark in remarks:
        print(f"gemmconv explain: {remark}", file=sys.stderr)
    sys.stdout.write(text)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raise if options contradict each other."""
    if arguments.open and arguments.html in (None, STANDARD_OUTPUT):
        raise ValueError("--open shows the page that --html FILE writes: give --html the name of a file")
    if arguments.plot == arguments.html == STANDARD_OUTPUT:
        raise ValueError("--plot and --html cannot both write to standard output")
    if arguments.code is not None and arguments.format is not None:
        raise ValueError("--code prints programs: leave out --format")


def _text(explanation: Explanation, arguments: argparse.Namespace) -> str:
    """Return what is to be printed."""
    if arguments.code is not None:
        if arguments.code == ALL_LIBRARIES:
            return write_all_code(explanation.problem)
        return explanation.code(arguments.code)
    at = {"weight_at": arguments.weight_at, "input_at": arguments.input_at}
    if arguments.format == "json":
        return explanation.json(**at)
    if arguments.format == "latex":
        return "\n".join(explanation.latex(matrix) for matrix in ("P", "K", "M"))
    return explanation.text(
        arguments.width or _columns(),
        arguments.show,
        letters=arguments.letters,
        backward=arguments.backward,
        color=_colored(arguments.color),
        digits=arguments.digits,
        **at,
    )


def _prints_text(arguments: argparse.Namespace) -> bool:
    """Return whether text is printed: always, unless a file is written and no text is asked for."""
    writes = arguments.plot is not None or arguments.html is not None
    return not writes or any(value is not None for value in (arguments.show, arguments.format, arguments.code))


def _write_plot(explanation: Explanation, arguments: argparse.Namespace) -> None:
    """Write the picture, and its name to standard error."""
    from .picture_files import plotted

    check_new(arguments.plot, arguments.force)
    form = "svg" if arguments.plot == STANDARD_OUTPUT else arguments.plot.lower().rpartition(".")[2]
    options = {name: getattr(arguments, name) for name in ("letters", "backward", "digits", "weight_at", "input_at")}
    write_new(arguments.plot, plotted(explanation, form, **options), arguments.force)
    if arguments.plot != STANDARD_OUTPUT:
        print(arguments.plot, file=sys.stderr)


def _write_page(explanation: Explanation, arguments: argparse.Namespace) -> None:
    """Write the page, and its name to standard error; with --open a browser shows it."""
    name = arguments.example or os.path.basename(arguments.file or "") or ("" if arguments.x else "small")
    options = {option: getattr(arguments, option) for option in ("backward", "weight_at", "input_at")}
    write_new(arguments.html, explanation.html(name=name, **options).encode(), arguments.force)
    if arguments.html != STANDARD_OUTPUT:
        print(arguments.html, file=sys.stderr)
    if arguments.open:
        import webbrowser

        webbrowser.open(Path(arguments.html).resolve().as_uri())


def _columns() -> int:
    """Return the width of the terminal, or the usual one."""
    return max(shutil.get_terminal_size((WIDTH, 24)).columns, NARROWEST) if sys.stdout.isatty() else WIDTH


def _colored(when: str) -> bool:
    """Return whether to print colours; see no-color.org."""
    return when == "always" or (when == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in ALL:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(ALL)}")
    return names


def _library(text: str) -> str:
    return "torch" if text == "pytorch" else text


def _plot(text: str) -> str:
    if text != STANDARD_OUTPUT and not text.lower().endswith(PLOTS):
        raise argparse.ArgumentTypeError(f"{text!r} ends with none of {', '.join(PLOTS)}")
    return text


def _width(text: str) -> int:
    if not text.isdecimal() or not NARROWEST <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {NARROWEST} to 10000")
    return int(text)


def _digits(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 17:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 17")
    return int(text)
