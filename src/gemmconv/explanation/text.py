"""The text of an explanation: sections of lines, none longer than the width, in ASCII."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np

from ..checks.arrays import Array
from ..checks.options import PADDING_NAMES
from ..matrix_sizes import convolution_matrix_size
from . import code
from .check import check_line
from .facts import MOST_TERMS, Places, Readers
from .grids import counted, fill, length, number
from .text_arrays import x_lines, y_lines
from .text_connections import matrix_lines
from .text_matrices import product_lines
from .text_weights import weight_lines
from .view import AXES, View, bracketed, product, ravel, times

# The sections that are shown unless others are asked for, in this order.
DEFAULT = ("size", "x", "weight", "K", "P", "Y", "sum", "y", "M", "counts")
PRODUCTS = ("K", "P", "Y")

# A sum of more terms than these is shortened, to its first and its last terms in every channel.
MOST_TERMS_OF_A_SUM = 48
FIRST_TERMS, LAST_TERMS = 8, 2
# Likewise the channels.
MOST_CHANNELS_OF_A_SUM = 12
FIRST_CHANNELS, LAST_CHANNELS = 6, 2

# A matrix of more bytes than these is worth a remark.
LARGE_MATRIX = 10**8


@np.errstate(invalid="ignore", over="ignore")  # numbers that are not finite are no reason for a warning
def write(view: View, sections: Sequence[str], check: bool) -> str:
    """Return the text of some sections, and at its end what was checked."""
    parts = []
    for is_product, group in groupby(sections, lambda name: name in PRODUCTS):
        names = list(group)
        parts += [product_lines(view, names)] if is_product else [SECTIONS[name](view) for name in names]
    if check:
        parts.append(fill([check_line(view)], view.width))
    lines = [line.rstrip() for part in parts for line in [*part, ""]][:-1]
    return "\n".join(lines) + "\n"


def size_lines(view: View) -> list[str]:
    """Show shapes, options, and the size of the output with the numbers put in."""
    problem, geometry = view.facts.problem, view.facts.problem.geometry
    kernels, channels, *kernel = problem.weight.shape
    shapes = f"x {problem.x.shape} -> y {problem.y_shape}"
    weights = f"{counted(kernels, 'kernel')} of {counted(channels, 'channel')} of {times(tuple(kernel))}"
    lines = [
        *fill([shapes, f"weight {problem.weight.shape}: {weights}"], view.width),
        *fill(_options(view), view.width, " "),
    ]
    names = AXES[problem.rank]
    if problem.transposed:
        formula = "output = (input - 1) * stride - before - after + extent + output_padding"
    else:
        formula = "output = floor((input + before + after - extent) / stride) + 1"
    extent = "extent = dilation * (kernel - 1) + 1"
    head = "SIZE OF THE OUTPUT"
    if len(head) + 5 + len(formula) <= view.width:
        lines += ["", f"{head}     {formula}", f"{'':{len(head)}}     {extent}"]
    else:
        lines += ["", head, *fill([f"  {formula}"], view.width), f"  {extent}"]
    for axis, name in enumerate(names, 3 - problem.rank):
        taps, dilation = geometry.kernel[axis], geometry.dilation[axis]
        covered = dilation * (taps - 1) + 1
        piece = f"  {name:{max(map(len, names))}}   extent = {dilation} * ({taps} - 1) + 1 = {covered}"
        lines += fill([piece, size_of(view, axis, covered)], view.width, indent=max(map(len, names)) + 5)
    maps = f"{counted(problem.y_shape[0], 'channel')} (feature map{'s' * (problem.y_shape[0] != 1)})"
    outputs = f"{counted(view.counts.outputs, 'output')}, each one neuron"
    return [*lines, *fill([f"  y has {maps} of {times(problem.y_shape[1:])}: {outputs}"], view.width)]


def size_of(view: View, axis: int, extent: int) -> str:
    """Return the formula of the size of one axis with its numbers."""
    problem, geometry = view.facts.problem, view.facts.problem.geometry
    stride, size = geometry.stride[axis], geometry.in_size[axis]
    before, after = geometry.pad_before[axis], geometry.pad_after[axis]
    if not problem.transposed:
        return (
            f"floor(({size} + {_term(before)} + {_term(after)} - {extent}) / {stride}) + 1 = {geometry.out_size[axis]}"
        )
    inputs = geometry.out_size[axis]
    # for the convolution, what output_padding adds is padding that it does not have
    more = problem.output_padding[axis - 3]
    return f"({inputs} - 1) * {stride} - {_term(before)} - {_term(after + more)} + {extent} + {more} = {size}"


def _term(value: int) -> str:
    """Return a number as a term or a factor: negative ones in parentheses."""
    return f"({value})" if value < 0 else str(value)


def _per_axis(values: Sequence[object]) -> str:
    return str(values[0]) if len({*values}) == 1 else f"({', '.join(map(str, values))})"


def _options(view: View) -> list[str]:
    """Return the options in words."""
    problem, geometry = view.facts.problem, view.facts.problem.geometry
    options, axes, pads = problem.options, slice(3 - problem.rank, 3), problem.pads
    padding = str(pads[0] if problem.rank == 1 else pads)
    if isinstance(options.padding, str) and options.padding in PADDING_NAMES and options.padding != "valid":
        padding = f'{padding} = "{options.padding}"'
    elif all(before == after for before, after in pads):
        padding = _per_axis([before for before, _ in pads])
    pieces = [f"stride {_per_axis(geometry.stride[axes])}", f"padding {padding}"]
    if problem.has_copies:
        mode = options.padding_mode
        pieces.append(f"padding mode {mode if isinstance(mode, str) else _per_axis(mode)}")
    if problem.value != 0:
        pieces.append(f"padding value {view.number(problem.value)}")
    pieces += [f"dilation {_per_axis(geometry.dilation[axes])}", f"groups {geometry.groups}"]
    if problem.transposed:
        return [*(f"{piece}," for piece in pieces), f"output padding {_per_axis(problem.output_padding)}, transposed"]
    kind = "flipped (the convolution of mathematics)"
    if not options.flip:
        kind = "not flipped (a cross-correlation, as in neural networks)"
    return [*(f"{piece}," for piece in pieces), kind]


def sum_lines(view: View) -> list[str]:
    """Write out the sum of one output, channel by channel."""
    facts, problem = view.facts, view.facts.problem
    name = bracketed("y", view.at)
    column = ravel(view.at[1:], problem.y_shape[1:])
    how = f"row {view.at[0]} of K times column {column} of P"
    if problem.transposed:
        how = "the bracketed entries of C added up"
    lines = fill([f"ONE OUTPUT    {name} = {how}"], view.width)
    if not view.has_terms:
        return [*lines, f"  not written out: it has more than {MOST_TERMS} terms"]
    lines.append(_row_of_matrix(view))
    channels = view.window.channels
    per_channel = len(view.terms.weights) // max(len(channels), 1)
    shape = (len(channels), per_channel)
    factors, values = view.terms.factors.reshape(shape), view.terms.values.reshape(shape)
    totals = (factors * values).sum(axis=1)
    shown = list(range(len(channels)))
    if len(shown) > MOST_CHANNELS_OF_A_SUM:
        shown = [*shown[:FIRST_CHANNELS], *shown[-LAST_CHANNELS:]]
    shortened = len(view.terms.weights) > MOST_TERMS_OF_A_SUM and per_channel > FIRST_TERMS + LAST_TERMS
    rows = []
    for index in shown:
        if index >= FIRST_CHANNELS and len(shown) < len(channels) and index == shown[FIRST_CHANNELS]:
            hidden = totals[FIRST_CHANNELS:-LAST_CHANNELS]
            rows.append(("  ...", [f"{counted(len(hidden), 'channel')} more"], hidden.sum()))
        terms = _terms(view, index * per_channel, per_channel, shortened)
        rows.append((f"  channel {channels[index]}", terms or ["no term"], totals[index]))
    if problem.bias is not None:
        rows.append(("  bias", [], problem.bias[view.at[0]]))
    if len(rows) > 1:
        total = "sum over the channels" if problem.bias is None else "sum over the channels, and the bias"
        rows.append((f"  {total}", [], facts.value(view.at)))
    return [*lines, *_sum_rows(view, rows)]


def _row_of_matrix(view: View) -> str:
    """Return which row of M the output is, and the columns of its connections, as many as fit."""
    matrix = "M.T" if view.facts.problem.transposed else "M"
    columns = np.unique(view.terms.inputs[view.terms.inputs >= 0]).tolist()
    begin = f"  row {ravel(view.at, view.facts.problem.y_shape)} of {matrix}, "
    begin += "column" if len(columns) == 1 else "columns" if columns else "no column"
    line = begin
    for index, column in enumerate(columns):
        rest = len(columns) - index - 1
        longer = f"{line}{',' if index else ''} {column}"
        if len(longer) + (len(f", ... {rest} more") if rest else 0) > view.width:
            return f"{line}{',' if index else ''} ... {rest + 1} more"
        line = longer
    return line


def _terms(view: View, first: int, size: int, shortened: bool) -> list[str]:
    """Return the terms of one channel of the sum, the first of which has the number `first`."""
    terms = view.terms
    numbers = list(range(first, first + size))
    if shortened:
        numbers = [*numbers[:FIRST_TERMS], *numbers[-LAST_TERMS:]]
    texts = []
    for index in numbers:
        is_zero = terms.inputs[index] < 0 and view.facts.problem.value == 0
        value = "." if is_zero else view.number(terms.values[index])
        if view.letters and view.letter_kind == "weight":
            texts.append(f"{value}{view.letter(int(terms.weights[index]))}")
        else:
            texts.append(f"{_signed(view, terms.factors[index])}*{f'({value})' if value[0] == '-' else value}")
    if shortened:
        texts.insert(FIRST_TERMS, f"... {size - FIRST_TERMS - LAST_TERMS} more")
    return texts


def _signed(view: View, value: float) -> str:
    text = view.number(value)
    return f"({text})" if text.startswith("-") else text


def _sum_rows(view: View, rows: Sequence[tuple[str, list[str], float]]) -> list[str]:
    """Return the rows of a sum with their totals below each other."""
    totals = [view.number(total) for _, _, total in rows]
    digits = max(map(len, totals))
    label = max(len(name) for name, terms, _ in rows if terms) + 3
    room = view.width - digits - 4
    written = []
    for (name, terms, _), total in zip(rows, totals):
        lines = _wrapped_sum(name.ljust(label) if terms else name, terms, room, label)
        if length(lines[-1]) > room:  # one term is too long for a total beside it
            lines.append(" " * label)
        written += [(line, "") for line in lines[:-1]] + [(lines[-1], total)]
    widest = min(max(length(line) for line, _ in written), room)
    return [f"{line:{widest}}  = {total:>{digits}}" if total else line for line, total in written]


def _wrapped_sum(begin: str, terms: Sequence[str], width: int, indent: int) -> list[str]:
    """Return a sum on as many lines as it takes."""
    lines = [begin]
    for index, term in enumerate(terms):
        piece = term if not index else f" + {term}"
        if length(lines[-1]) + length(piece) > width and index:
            lines.append(" " * indent + f"+ {term}")
        else:
            lines[-1] += piece
    return lines


def code_lines(view: View) -> list[str]:
    """Show the same convolution in other libraries."""
    return code.write_all(view.facts.problem).splitlines()


def counts_lines(view: View) -> list[str]:
    """Show the counts of weights, connections and multiplications."""
    counts, problem = view.counts, view.facts.problem
    outputs, inputs = counted(counts.outputs, "output"), counted(counts.inputs, "input")
    least, most = counts.places
    places = f"{least}" if least == most else f"{least} to {most}"
    share = 100 * counts.entries / counts.fully_connected
    percent = f"{share:.1f}" if share >= 0.1 else number(share, 2)
    extra = counts.multiplications - counts.entries
    of = inputs if problem.transposed else outputs
    taps = f"{counted(problem.geometry.reduction_length, 'tap')}"
    tied = f"tied: each stands in {places} places of M"
    if (least, most) == (1, 1):
        tied = "each stands in one place of M"
    why = ("fall outside y", "add to an output again") if problem.transposed else ("by padding", "read an input again")
    padding = " or ".join(part for part, holds in zip(why, (_loses_terms(view), problem.has_copies)) if holds)
    times_as_many = "as many"
    if counts.fully_connected != counts.weights:
        times_as_many = f"{_ratio(counts.fully_connected, counts.weights)} times as many"
    ratio = _ratio(counts.patch_rows * counts.patch_columns, counts.inputs)
    matrix = "C" if problem.transposed else "P"
    rows: list[tuple[str, int, list[str]]] = [
        ("weights", counts.weights, [product(problem.weight.shape), tied]),
        ("fully connected", counts.fully_connected, [f"{outputs} * {inputs}", times_as_many]),
        ("entries of M", counts.entries, [f"{percent} % of it, the others are zero and stay zero"]),
        (
            "multiplications",
            counts.multiplications,
            [f"{of} * {taps}", *([f"{extra} of them {padding}"] if extra else [])],
        ),
        (
            f"numbers in {matrix}",
            counts.patch_rows * counts.patch_columns,
            [f"{counts.patch_rows} * {counts.patch_columns}, {ratio} times those of x"],
        ),
    ]
    digits = max(10, *(len(str(value)) for _, value, _ in rows))
    gaps = {"weights": "        ", "fully connected": "   ", "multiplications": "    "}
    lines = ["COUNTS"]
    for name, value, (first, *notes) in rows:
        lines += fill([f"  {name:16}{value:{digits}} = {first}", *notes], view.width, gaps.get(name, ""), 20 + digits)
    return [*lines, *_memory(view)]


def _ratio(count: int, other: int) -> str:
    """Return how many times one count is another: a whole number if it is large."""
    ratio = count / other
    return number(round(ratio) if ratio >= 1000 else ratio)


def _loses_terms(view: View) -> bool:
    """Return whether some taps meet what is no copy of an input, or, transposed, some products no output."""
    geometry, modes = view.facts.problem.geometry, view.facts.problem.modes
    return any(mode == "constant" and max(pad) > 0 for mode, pad in zip(modes[-geometry.rank :], geometry.pads))


def _memory(view: View) -> list[str]:
    """Return a remark on the memory of M, if it is large."""
    problem, geometry = view.facts.problem, view.facts.problem.geometry
    options = {name: value for name, value in problem.linear_options.items() if name != "flip"}
    size = convolution_matrix_size(
        geometry.weight_shape, geometry.in_size[3 - problem.rank :], dtype=np.float32, **options
    )
    if size.nbytes < LARGE_MATRIX:
        return []
    takes = f"  M takes {size.nbytes / 1e9:.3g} GB in float32; "
    return fill([takes + "gemmconv.ConvolutionOperator multiplies by it without building it"], view.width)


def backward_lines(view: View) -> list[str]:
    """Write out the gradient of one weight and of one input."""
    facts, problem = view.facts, view.facts.problem
    head = ["BACKWARD      g is the gradient of a loss with respect to y"]
    if problem.grad_output is None:
        head = [f"{head[0]};", "here 1 everywhere, the loss is the sum of y"]
    lines = fill(head, view.width, " ", 14)
    if not facts.is_computed:
        return [*lines, *fill(["  not computed: the layer is too large"], view.width)]
    places, readers = facts.places(view.weight_at), facts.readers(view.input_at)
    weight = bracketed("weight", view.weight_at)
    letter = view.letter(ravel(view.weight_at, problem.weight.shape))
    named = f"weight {letter} = {weight}" if view.letter_kind == "weight" else weight
    stands = f"  {named} stands in {counted(len(places.outputs), 'place')} of M"
    lines += fill([f"{stands} and gets the sum of their gradients, g * x:"], view.width)
    lines += _gradient_sum(view, _place_terms(view, places), float(facts.weight_gradient()[view.weight_at]))
    if places.padding != 0:
        lines += fill(
            [f"    ({view.number(places.padding)} of it by the padding, g * {_signed(view, problem.value)})"],
            view.width,
        )
    column = ravel(view.weight_at[1:], problem.weight.shape[1:])
    if not problem.transposed and problem.geometry.groups == 1 and not problem.options.flip:
        lines += fill([f"    (row {view.weight_at[0]} of g @ P.T, column {column})"], view.width)
    flat = ravel(view.input_at, problem.x.shape)
    value = view.number(float(problem.x.at(np.array([flat]))[0]))
    by = f"is read by {counted(len(readers.outputs), 'output')}"
    matrix = "M.T" if problem.transposed else "M"
    how = f"column {flat} of {matrix}, its gradient that column times g:"
    lines += fill([f"  input {bracketed('x', view.input_at)} = {value} {by}: {how}"], view.width)
    return [*lines, *_gradient_sum(view, _reader_terms(view, readers), float(facts.input_gradient()[view.input_at]))]


def _place_terms(view: View, places: Places) -> list[str]:
    pairs = [(_signed(view, g), _signed(view, x)) for g, x in zip(*map(_ends, (places.gradients, places.values)))]
    terms = _with_gap([f"{g}*{x}" for g, x in pairs], len(places.outputs))
    return [*terms, _signed(view, places.padding)] if places.padding != 0 else terms


def _reader_terms(view: View, readers: Readers) -> list[str]:
    ends = map(_ends, (readers.weights, readers.factors, readers.gradients))
    named = view.letter_kind == "weight"
    texts = [
        (f"{view.letter(int(weight))}:" if named else "") + f"{_signed(view, factor)}*{_signed(view, g)}"
        for weight, factor, g in zip(*ends)
    ]
    return _with_gap(texts, len(readers.outputs))


def _ends(values: Array) -> Array:
    """Return the values, or of many the first and the last ones."""
    if len(values) <= MOST_TERMS_OF_A_SUM:
        return values
    return np.concatenate([values[:FIRST_TERMS], values[-LAST_TERMS:]])


def _with_gap(texts: list[str], count: int) -> list[str]:
    if len(texts) < count:
        texts.insert(FIRST_TERMS, f"... {count - len(texts)} more")
    return texts


def _gradient_sum(view: View, terms: list[str], total: float) -> list[str]:
    text = view.number(total)
    room = view.width - len(text) - 3
    lines = _wrapped_sum("    ", terms or ["0"], room, 4)
    if length(lines[-1]) > room:  # one term is too long for the total beside it
        lines.append("   ")
    return [*lines[:-1], f"{lines[-1]} = {text}"]


SECTIONS: dict[str, Callable[[View], list[str]]] = {
    "size": size_lines,
    "x": x_lines,
    "weight": weight_lines,
    "sum": sum_lines,
    "y": y_lines,
    "M": matrix_lines,
    "counts": counts_lines,
    "backward": backward_lines,
    "code": code_lines,
}
ALL = (*DEFAULT, "backward", "code")
