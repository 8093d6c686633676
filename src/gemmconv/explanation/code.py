"""Code: the same convolution in gemmconv and in other libraries, as a program that can be run.

Each writer returns the lines that compute y from x, weight and bias, arrays without a batch axis. It raises a
ValueError if its library cannot compute the convolution in a few lines.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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


def _pads(problem: Problem) -> tuple[tuple[int, int], ...]:
    """Return (before, after) along each spatial axis, without output_padding."""
    geometry, rank = problem.geometry, problem.rank
    if not problem.transposed:
        return geometry.pads
    extra = np.broadcast_to(np.asarray(problem.options.output_padding), rank).tolist()
    return tuple((before, after + more) for (before, after), more in zip(geometry.pads, extra))


def _spatial(problem: Problem, name: str) -> tuple[int, ...]:
    """Return a size of the geometry along the axes that the convolution has."""
    sizes: tuple[int, ...] = getattr(problem.geometry, name)[3 - problem.rank :]
    return sizes


def _kernel_axes(problem: Problem) -> tuple[int, ...]:
    return tuple(range(2, 2 + problem.rank))


def _padded(problem: Problem) -> list[str]:
    """Return the lines that pad x with NumPy, and crop it where the padding is negative."""
    pads, mode = _pads(problem), problem.modes[0]
    grow = [(0, 0), *((max(before, 0), max(after, 0)) for before, after in pads)]
    lines = [f'padded = np.pad(x, {grow}, mode="{mode}")'] if any(map(any, grow)) else ["padded = x"]
    if any(number < 0 for pad in pads for number in pad):
        crops = ", ".join(_slice(max(-before, 0), min(after, 0)) for before, after in pads)
        lines.append(f"padded = padded[:, {crops}]")
    return lines


def _slice(before: int, after: int) -> str:
    return f"{before or ''}:{after or ''}"


def _bias(problem: Problem, add: str = "bias") -> str:
    return "" if problem.bias is None else f" + {add}[:, {', '.join(['None'] * problem.rank)}]"


def with_gemmconv(problem: Problem) -> list[str]:
    """Write the call of gemmconv."""
    defaults = vars(Options())
    given = {name: value for name, value in problem.options.keywords().items() if value != defaults[name]}
    words = [f"{name}={value!r}" for name, value in given.items()]
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
    if any(number < 0 for pad in _pads(problem) for number in pad):
        raise ValueError("numpy: a transposed convolution with negative padding is not written out")
    sizes = _spatial(problem, "out_size")
    stride, dilation, kernel, out = (_spatial(problem, n) for n in ("stride", "dilation", "kernel", "in_size"))
    before = [pad[0] for pad in _pads(problem)]
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
    crop = ", ".join(f"{b}:{b + size}" for b, size in zip(before, out))
    return [
        f"inputs = x.reshape{(groups, channels, *sizes)}",
        f"kernels = {weight}",
        f"whole = np.zeros({(groups, outputs, *whole)})",
        f"for t in np.ndindex{kernel}:",
        f"    place = ({', '.join(places)},)",
        f'    whole[:, :, *place] += np.einsum("gi{space},gio->go{space}", inputs, kernels[:, :, :, *t])',
        f"y = whole.reshape{(problem.y_shape[0], *whole)}[:, {crop}]{_bias(problem)}",
    ]


def with_torch(problem: Problem) -> list[str]:
    """Write the call of torch.nn.functional."""
    pads, rank = _pads(problem), problem.rank
    even = all(before == after and before >= 0 for before, after in pads)
    words = [f"stride={_spatial(problem, 'stride')}"]
    lines = ["x, weight = torch.from_numpy(x), torch.from_numpy(weight)"]
    if problem.bias is not None:
        lines.append("bias = torch.from_numpy(bias)")
    if problem.options.flip:
        lines.append(f"weight = weight.flip{_kernel_axes(problem)}")
    if problem.transposed:
        if not even:
            raise ValueError("torch: the padding of a transposed convolution is even and not negative")
        words += [f"output_padding={problem.options.output_padding!r}"]
    mode = problem.modes[0]
    if even and mode == "constant":
        words.append(f"padding={tuple(before for before, _ in pads)}")
    else:
        lines += _torch_pad(problem, pads)
    words += [f"dilation={_spatial(problem, 'dilation')}", f"groups={problem.geometry.groups}"]
    function = f"conv_transpose{rank}d" if problem.transposed else f"conv{rank}d"
    bias = "bias" if problem.bias is not None else "None"
    return [*lines, f"y = torch.nn.functional.{function}(x[None], weight, {bias}, {', '.join(words)})[0]"]


def _torch_pad(problem: Problem, pads: tuple[tuple[int, int], ...]) -> list[str]:
    mode = problem.modes[0]
    numbers = tuple(number for pad in reversed(pads) for number in pad)
    if mode == "constant":
        # PyTorch crops before it pads
        if any(size + min(before, 0) + min(after, 0) < 1 for size, (before, after) in zip(problem.x.shape[1:], pads)):
            raise ValueError("torch: negative padding cannot take away all of the input")
        return [f"x = torch.nn.functional.pad(x, {numbers})"]
    if mode not in TORCH_MODES:
        raise ValueError(f"torch: there is no padding mode {mode!r}")
    sizes = problem.x.shape[1:]
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
    if problem.transposed and groups > 1:
        raise ValueError("jax: a transposed convolution with groups is not written out")
    pads, lines = list(_pads(problem)), []
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
    plain = problem.pads_with_zeros and all(number >= 0 for pad in geometry.pads for number in pad)
    if problem.transposed or problem.rank > 2 or any(step > 1 for step in geometry.dilation) or not plain or not small:
        raise ValueError(
            "matlab: only convolutions of one or two axes without dilation are written out, padded with zeros, with at "
            f"most {MOST_NUMBERS} numbers"
        )
    assert problem.x.array is not None
    assert problem.weight.array is not None
    channels, outputs = geometry.in_channels // geometry.groups, geometry.out_channels // geometry.groups
    _, (top, bottom), (left, right) = [(0, 0)] * (3 - problem.rank) + list(geometry.pads)
    _, height, width = geometry.in_size
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
        f"    padded = zeros({height + top + bottom}, {width + left + right});",
        f"    padded({top + 1}:{top + height}, {left + 1}:{left + width}) = x{{{channel}}};",
        f"    y{{o}} = y{{o}} + conv2(padded, {kernel}, 'valid');",
        "  end",
        f"  y{{o}} = y{{o}}(1:{down}:end, 1:{across}:end);",
        "end",
    ]


def _matlab_matrix(values: np.ndarray) -> str:
    rows = np.atleast_2d(values)
    return "[" + "; ".join(" ".join(f"{value:.17g}" for value in row) for row in rows) + "]"


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
