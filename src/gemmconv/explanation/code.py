"""Code: the same convolution in gemmconv and in other libraries, as a program that can be run.

Each writer returns the lines that compute y from x, weight and bias, arrays without a batch axis. It raises a
ValueError if its library cannot compute the convolution in a few lines.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import numpy as np

from ..checks.options import Pair
from ..engine.extension import extended_from
from .problem import Numbers, Options, Problem

# The most numbers of an array that are written out.
MOST_NUMBERS = 400
# The padding modes of numpy.pad, as PyTorch names them.
TORCH_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}
AXES = "dhw"


def write(problem: Problem, library: str) -> str:
    """Return a program that computes the output with a library of `LIBRARIES`."""
    if library not in LIBRARIES:
        raise ValueError(f"there is no code for {library!r}; the libraries are {', '.join(LIBRARIES)}")
    imports, writer = LIBRARIES[library]
    if library == "matlab":
        return "\n".join(writer(problem)) + "\n"
    arrays = [f"x = {array(problem.x, 'x')}", f"weight = {array(problem.weight, 'weight')}"]
    if problem.bias is not None:
        arrays.append(f"bias = {array(Numbers(problem.bias.shape, problem.bias), 'bias')}")
    return "\n".join([*imports, "", *arrays, *writer(problem)]) + "\n"


def array(numbers: Numbers, name: str) -> str:
    """Return an array as an expression of NumPy."""
    shape, values = numbers.shape, numbers.array
    if values is None or np.array_equal(values, np.arange(1, numbers.size + 1).reshape(shape)):
        return f"np.arange(1.0, {numbers.size + 1}).reshape{shape}"
    if numbers.size > MOST_NUMBERS:
        return f'np.load("{name}.npy")  # of shape {shape}'
    return f"np.array({literal(values)})"


def literal(values: np.ndarray) -> str:
    """Return the numbers as nested lists; what is not finite is named as in NumPy."""
    text = repr(values.astype(np.float64).tolist())
    return text.replace("nan", "np.nan").replace("inf", "np.inf")


def _spatial(problem: Problem, name: str) -> tuple[int, ...]:
    """Return a size of the geometry along the axes that the convolution has."""
    sizes: tuple[int, ...] = getattr(problem.geometry, name)[3 - problem.rank :]
    return sizes


def _kernel_axes(problem: Problem) -> tuple[int, ...]:
    return tuple(range(2, 2 + problem.rank))


def _padded(problem: Problem) -> list[str]:
    """Return the lines that pad x with NumPy, and crop it where the padding is negative."""
    pads, lines, source = problem.pads, [], "x"
    for mode, of_mode in _by_mode(problem):
        grow = [(0, 0), *((max(before, 0), max(after, 0)) for before, after in of_mode)]
        if any(map(any, grow)):
            value = f", constant_values={word(problem.value)}" * (mode == "constant" and problem.value != 0)
            lines.append(f'padded = np.pad({source}, {grow}, mode="{mode}"{value})')
            source = "padded"
    lines = lines or ["padded = x"]
    if any(number < 0 for pad in pads for number in pad):
        crops = ", ".join(_slice(max(-before, 0), min(after, 0)) for before, after in pads)
        lines.append(f"padded = padded[:, {crops}]")
    return lines


def _by_mode(problem: Problem) -> list[tuple[str, tuple[Pair, ...]]]:
    """Return each padding mode with the padding of the axes that have it; other axes have none.

    The axes may be padded in any order: in the corners the constant comes to be where one of the axes has it.
    """
    modes, pads = problem.modes[3 - problem.rank :], problem.pads
    names = dict.fromkeys(sorted(modes, key="constant".__ne__))
    return [(name, tuple(pad if mode == name else (0, 0) for mode, pad in zip(modes, pads))) for name in names]


def word(value: object) -> str:
    """Return a value as it is written in a program; what is not finite is named as in NumPy."""
    return repr(value) if not isinstance(value, float) or isfinite(value) else f"np.{value}".replace("np.-", "-np.")


def _slice(before: int, after: int) -> str:
    return f"{before or ''}:{after or ''}"


def _bias(problem: Problem, add: str = "bias") -> str:
    return "" if problem.bias is None else f" + {add}[:, {', '.join(['None'] * problem.rank)}]"


def with_gemmconv(problem: Problem) -> list[str]:
    """Write the call of gemmconv."""
    defaults = vars(Options())
    given = {name: value for name, value in problem.options.keywords().items() if value != defaults[name]}
    words = [f"{name}={word(value)}" for name, value in given.items()]
    function = "conv_transpose" if problem.transposed else "conv"
    arguments = ["x", "weight", *(["bias"] if problem.bias is not None else []), *words]
    return [f"y = gemmconv.{function}({', '.join(arguments)})"]


def with_numpy(problem: Problem) -> list[str]:
    """Write the sum over sliding windows; for a transposed convolution, over taps."""
    geometry, groups, rank = problem.geometry, problem.geometry.groups, problem.rank
    channels, outputs = geometry.in_channels // groups, geometry.out_channels // groups
    kernel, dilation, stride = (_spatial(problem, name) for name in ("kernel", "dilation", "stride"))
    weight = f"weight.reshape{(groups, outputs, channels, *kernel)}"
    if problem.transposed:
        return _numpy_transposed(problem, weight)
    flip = [f"weight = np.flip(weight, {_kernel_axes(problem)})"] if problem.options.flip else []
    extents = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation))
    steps = ", ".join(f"::{step}" for step in (*stride, *dilation))
    axes = tuple(range(1, rank + 1))
    space, taps = AXES[-rank:], "klm"[:rank]
    out = _spatial(problem, "out_size")
    return [
        *flip,
        *_padded(problem),
        f"windows = np.lib.stride_tricks.sliding_window_view(padded, {extents}, {axes})[:, {steps}]",
        f"windows = windows.reshape{(groups, channels, *out, *kernel)}",
        f'y = np.einsum("gi{space}{taps},goi{taps}->go{space}", windows, {weight})',
        f"y = y.reshape{problem.y_shape}{_bias(problem)}",
    ]


def _numpy_transposed(problem: Problem, weight: str) -> list[str]:
    groups, rank, space = problem.geometry.groups, problem.rank, AXES[-problem.rank :]
    if any(number < 0 for pad in problem.pads for number in pad):
        raise ValueError("numpy: a transposed convolution with negative padding is not written out")
    sizes = _spatial(problem, "out_size")
    stride, dilation, kernel, out = (_spatial(problem, n) for n in ("stride", "dilation", "kernel", "in_size"))
    before = [pad[0] for pad in problem.pads]
    whole = [
        max((n - 1) * s + d * (k - 1) + 1, b + size)
        for n, s, d, k, b, size in zip(sizes, stride, dilation, kernel, before, out)
    ]
    places = [
        f"slice(t[{axis}] * {dilation[axis]}, t[{axis}] * {dilation[axis]} + {(sizes[axis] - 1) * stride[axis] + 1}, "
        f"{stride[axis]})"
        for axis in range(rank)
    ]
    channels, outputs = problem.x.shape[0] // groups, problem.y_shape[0] // groups
    shape, reach = (problem.y_shape[0], *whole), (groups, outputs, *whole)
    folds, crops = [], []
    for axis, (b, size) in enumerate(zip(before, out)):
        mode = problem.modes[axis - rank]
        if mode == "constant":
            crops.append(f"{b}:{b + size}")
            continue
        crops.append(":")
        after = max(problem.geometry.pads[axis][1], 0)
        folded = (problem.y_shape[0], *whole[:axis], size, *whole[axis + 1 :])
        place = ", ".join([":"] * (axis + 1) + ["source"])
        folds += [
            f'source = np.pad(np.arange({size}), {(b, after)}, mode="{mode}")  # what lies beyond y is folded back',
            f"folded = np.zeros({folded})",
            f"np.add.at(folded, np.s_[{place}], whole)",
            "whole = folded",
        ]
        whole[axis] = size
    return [
        f"inputs = x.reshape{(groups, channels, *sizes)}",
        f"kernels = {weight}",
        f"whole = np.zeros({reach})",
        f"for t in np.ndindex{kernel}:",
        f"    place = ({', '.join(places)},)",
        f'    whole[:, :, *place] += np.einsum("gi{space},gio->go{space}", inputs, kernels[:, :, :, *t])',
        f"whole = whole.reshape{shape}",
        *folds,
        f"y = whole[:, {', '.join(crops)}]{_bias(problem)}",
    ]


def with_torch(problem: Problem) -> list[str]:
    """Write the call of torch.nn.functional."""
    pads, rank = problem.pads, problem.rank
    even = all(before == after and before >= 0 for before, after in pads)
    words = [f"stride={_spatial(problem, 'stride')}"]
    lines = ["x, weight = torch.from_numpy(x), torch.from_numpy(weight)"]
    if problem.bias is not None:
        lines.append("bias = torch.from_numpy(bias)")
    if problem.options.flip:
        lines.append(f"weight = weight.flip{_kernel_axes(problem)}")
    if problem.transposed:
        if not even or problem.has_copies:
            raise ValueError("torch: the padding of a transposed convolution is even, not negative and has no mode")
        words += [f"output_padding={problem.output_padding}"]
    if even and problem.pads_with_zeros:
        words.append(f"padding={tuple(before for before, _ in pads)}")
    else:
        for mode, of_mode in _by_mode(problem):
            lines += _torch_pad(problem, mode, of_mode)
    words += [f"dilation={_spatial(problem, 'dilation')}", f"groups={problem.geometry.groups}"]
    function = f"conv_transpose{rank}d" if problem.transposed else f"conv{rank}d"
    bias = "bias" if problem.bias is not None else "None"
    return [*lines, f"y = torch.nn.functional.{function}(x[None], weight, {bias}, {', '.join(words)})[0]"]


def _torch_pad(problem: Problem, mode: str, pads: tuple[Pair, ...]) -> list[str]:
    """Return the line that pads x along the axes that have a mode."""
    sizes = problem.x.shape[1:]
    numbers = tuple(number for pad in reversed(pads) for number in pad)
    if not any(numbers):
        return []
    if mode == "constant":
        # PyTorch crops before it pads
        if any(size + min(before, 0) + min(after, 0) < 1 for size, (before, after) in zip(sizes, pads)):
            raise ValueError("torch: negative padding cannot take away all of the input")
        value = f", value={word(problem.value)}" * (problem.value != 0)
        return [f"x = torch.nn.functional.pad(x, {numbers}{value})"]
    if mode not in TORCH_MODES:
        raise ValueError(f"torch: there is no padding mode {mode!r}")
    limits = {"reflect": [size - 1 for size in sizes], "wrap": sizes, "edge": [max(map(max, pads))] * len(sizes)}[mode]
    if any(not 0 <= number <= limit for pad, limit in zip(pads, limits) for number in pad):
        raise ValueError(f"torch: padding mode {mode!r} takes neither negative padding nor more than the input has")
    return [f'x = torch.nn.functional.pad(x[None], {numbers}, mode="{TORCH_MODES[mode]}")[0]']


def with_scipy(problem: Problem) -> list[str]:
    """Write the sum over channels of correlations of scipy.signal."""
    if problem.transposed or any(step > 1 for step in problem.geometry.dilation):
        raise ValueError("scipy: there is no transposed convolution and no dilation")
    function = "convolve" if problem.options.flip else "correlate"
    geometry = problem.geometry
    channels, outputs = geometry.in_channels // geometry.groups, geometry.out_channels // geometry.groups
    first = f"o // {outputs} * {channels} + " if geometry.groups > 1 else ""
    steps = ", ".join(f"::{step}" for step in _spatial(problem, "stride"))
    one = f'scipy.signal.{function}(padded[{first}c], weight[o, c], mode="valid", method="direct")'
    return [
        *_padded(problem),
        f"y = [sum({one} for c in range({channels})) for o in range({geometry.out_channels})]",
        f"y = np.stack(y)[:, {steps}]{_bias(problem)}",
    ]


def with_jax(problem: Problem) -> list[str]:
    """Write the call of jax.lax, which computes in float32 unless it is told otherwise."""
    geometry, flip = problem.geometry, problem.options.flip
    stride, dilation, groups = _spatial(problem, "stride"), _spatial(problem, "dilation"), geometry.groups
    if problem.transposed and (groups > 1 or problem.has_copies):
        raise ValueError("jax: a transposed convolution with groups or a padding mode is not written out")
    pads, lines = list(problem.pads), []
    weight = f"jnp.flip(weight, {_kernel_axes(problem)})" if flip or problem.transposed else "weight"
    words = [f"window_strides={stride}"]
    if problem.transposed:
        weight += ".swapaxes(0, 1)"
        reach = [(k - 1) * d for k, d in zip(_spatial(problem, "kernel"), dilation)]
        # with output_padding, which the padding of the geometry contains
        pads = [(r - before, r - after) for r, (before, after) in zip(reach, geometry.pads)]
        words = [f"window_strides={(1,) * problem.rank}", f"lhs_dilation={stride}"]
    elif not problem.pads_with_zeros:
        lines, pads = [*_padded(problem), "x = padded"], [(0, 0)] * problem.rank
    words += [f"padding={pads}", f"rhs_dilation={dilation}", f"feature_group_count={groups}"]
    return [*lines, f"y = jax.lax.conv_general_dilated(x[None], {weight}, {', '.join(words)})[0]{_bias(problem)}"]


def with_matlab(problem: Problem) -> list[str]:
    """Write conv2 over cells of channels, for one and two axes."""
    geometry = problem.geometry
    small = problem.weight.size + problem.x.size <= MOST_NUMBERS
    if problem.transposed or problem.rank > 2 or any(step > 1 for step in geometry.dilation) or not small:
        raise ValueError(
            "matlab: only convolutions of one or two axes without dilation are written out, with at most "
            f"{MOST_NUMBERS} numbers"
        )
    assert problem.x.array is not None
    assert problem.weight.array is not None
    channels, outputs = geometry.in_channels // geometry.groups, geometry.out_channels // geometry.groups
    _, down, across = geometry.stride
    kernel = "weight{o, c}" if problem.options.flip else "rot90(weight{o, c}, 2)"
    x = ", ".join(map(_matlab_matrix, problem.x.array))
    weight = "; ".join(", ".join(map(_matlab_matrix, kernel)) for kernel in problem.weight.array)
    bias = [] if problem.bias is None else [f"bias = {_matlab_matrix(problem.bias)};"]
    channel = "c" if geometry.groups == 1 else f"floor((o - 1) / {outputs}) * {channels} + c"
    return [
        f"x = {{{x}}};",
        f"weight = {{{weight}}};  % weight{{kernel, channel}}",
        *bias,
        f"for o = 1:{geometry.out_channels}",
        f"  y{{o}} = {'0' if problem.bias is None else 'bias(o)'};",
        f"  for c = 1:{channels}",
        *(f"    {line}" for line in _matlab_padded(problem, f"x{{{channel}}}")),
        f"    y{{o}} = y{{o}} + conv2(padded, {kernel}, 'valid');",
        "  end",
        f"  y{{o}} = y{{o}}(1:{down}:end, 1:{across}:end);",
        "end",
    ]


def _matlab_padded(problem: Problem, x: str) -> list[str]:
    """Return the lines that pad one channel: a matrix of the constant, with x and its copies inside."""
    geometry, places, sources = problem.geometry, [], []
    for axis in (1, 2):
        size, before = geometry.in_size[axis], geometry.pad_before[axis]
        positions = np.arange(-before, size + geometry.pad_after[axis])
        source = np.where((positions >= 0) & (positions < size), positions, -1)
        if problem.modes[axis] != "constant":
            source = extended_from(positions, size, problem.modes[axis])
        inside = np.flatnonzero(source >= 0)
        places.append(_matlab_range(inside + 1))
        sources.append(_matlab_range(source[inside] + 1))
    _, height, width = geometry.padded_size
    constant = f"zeros({height}, {width})"
    if problem.value != 0:
        constant = f"repmat({_matlab_number(problem.value)}, {height}, {width})"
    whole = sources == [f"1:{size}" for size in geometry.in_size[1:]]
    taken = x if whole else f"{x}({', '.join(sources)})"
    return [f"padded = {constant};", f"padded({', '.join(places)}) = {taken};"]


def _matlab_range(indices: np.ndarray) -> str:
    """Return indices as a range, or as a vector if they do not ascend one by one."""
    if len(indices) and (np.diff(indices) == 1).all():
        return f"{indices[0]}:{indices[-1]}"
    return f"[{' '.join(map(str, indices))}]"


def _matlab_number(value: float) -> str:
    return f"{value:.17g}" if isfinite(value) else str(value).capitalize().replace("-i", "-I").replace("Nan", "NaN")


def _matlab_matrix(values: np.ndarray) -> str:
    rows = np.atleast_2d(values)
    return "[" + "; ".join(" ".join(map(_matlab_number, row)) for row in rows) + "]"


NUMPY = "import numpy as np"
LIBRARIES: dict[str, tuple[list[str], Callable[[Problem], list[str]]]] = {
    "gemmconv": (["import gemmconv", NUMPY], with_gemmconv),
    "numpy": ([NUMPY], with_numpy),
    "torch": ([NUMPY, "import torch"], with_torch),
    "scipy": ([NUMPY, "import scipy.signal"], with_scipy),
    "jax": (["import jax", "import jax.numpy as jnp", NUMPY], with_jax),
    "matlab": ([], with_matlab),
}


def write_all(problem: Problem) -> str:
    """Return the programs of all libraries; for those that cannot, the reason."""
    parts = []
    for library in LIBRARIES:
        comment = "%" if library == "matlab" else "#"
        try:
            parts.append(f"{comment} {library}\n{write(problem, library)}")
        except ValueError as error:
            parts.append(f"{comment} {error}\n")
    return "\n".join(parts)
