"""Options: stride, padding, dilation, groups and the others, validated one by one and brought into one form.

No array is needed for that. The names of padding (``"same"`` and so on) are turned into numbers here as well. A message
names the option, what came and what is expected. If a mistake has a usual cause, it also says what to write instead.
The tests match these messages.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from numbers import Complex, Real
from typing import Any, NamedTuple, NoReturn

# The padding (before, after) along one axis.
Pair = tuple[int, int]
# One number per axis, or a shape.
Sizes = tuple[int, ...]
# An option that can be a key of a cache.
Frozen = int | str | tuple[Any, ...]

# An option with one number for all axes, or one per axis, as users may write it.
Ints = int | Sequence[int]
# The option `padding` as users may write it.
Padding = int | str | Sequence[int | Sequence[int]]
# The option `padding_mode` as users may write it: one mode for all axes, or one per axis.
PaddingMode = str | Sequence[str]

# The largest number that BLAS can take: in every published wheel of SciPy it has 32-bit integers.
LARGEST_INT = 2**31 - 1

# The types that are taken as sequences of numbers without further checks.
SEQUENCES = (list, tuple, range)

# The forms that an option may have, for messages. Options that are not listed have the form INT_PER_AXIS.
FORMS = {"padding": "an int, a name, or one int or (before, after) pair per spatial axis"}
INT_PER_AXIS = "an int or one int per spatial axis"

# The name of each padding mode in numpy.pad. "zeros" and the last two are the names that PyTorch uses.
PADDING_MODES = {
    "zeros": "constant",
    "constant": "constant",
    "reflect": "reflect",
    "edge": "edge",
    "wrap": "wrap",
    "symmetric": "symmetric",
    "replicate": "edge",
    "circular": "wrap",
}

# The algorithms that a user may name, beside "auto".
ALGORITHMS = ("gemm", "direct", "winograd", "winograd2", "fft")

# What an algorithm needs, for messages. "gemm" and "fft" are missing because they are defined for
# everything; "direct" is defined for every convolution, and needs this for a gradient with respect to the input.
_WINOGRAD_NEEDS = (
    "a kernel of 3x3 or 1x3 (or 3 in 1-D) with stride and dilation 1; in 3-D, this must hold for the last two axes"
)
ALGORITHM_NEEDS = {
    "direct": (
        "along each axis a stride or a dilation of 1, or strides whose product is at most 64; and no stride above "
        "1048576"
    ),
    "winograd": _WINOGRAD_NEEDS,
    "winograd2": _WINOGRAD_NEEDS,
}

# The name of each operation in messages.
OPERATION_NAMES = {
    "convolution": "convolution",
    "input_gradient": "gradient (or transposed convolution)",
    "weight_gradient": "gradient",
}

# The names of the padding modes in other libraries, and their names here.
FOREIGN_MODES = {
    "constant": "zeros",
    "fill": "zeros",
    "grid-constant": "zeros",
    "mirror": "reflect",
    "nearest": "edge",
    "periodic": "wrap",
    "grid-wrap": "wrap",
    "symm": "symmetric",
    "grid-mirror": "symmetric",
}

# The largest finite float32.
LARGEST_FLOAT32 = (2 - 2**-23) * 2.0**127


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a hint if a name is nearly one of the names, or in capitals; otherwise an empty string."""
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), list(names), 1, 0.75)
    return f"; did you mean {near[0]!r}?" if near else ""


def shown(value: object) -> str:
    """Return a value as a message shows it: on one line, and shortened if it is long."""
    if getattr(value, "ndim", 0) > 1:
        return f"an array of shape {tuple(value.shape)}"  # type: ignore[attr-defined]
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:80]} ... ({type(value).__name__})"


def freeze(name: str, value: object, depth: int = 2) -> Frozen:
    """Return an option as an int, a name, or a (nested) tuple of these, so that it can be a key of a cache."""
    if type(value) is int or type(value) is str:
        return value
    if depth and isinstance(value, SEQUENCES):
        return tuple([freeze(name, item, depth - 1) for item in value])
    if isinstance(value, str):
        return str(value)
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        pass
    listed = value.tolist() if hasattr(value, "tolist") else None  # an array of NumPy or another library
    if isinstance(listed, list):
        return freeze(name, listed, depth)
    raise TypeError(f"{name} must be {FORMS.get(name, INT_PER_AXIS)}, not {shown(value)}")


def as_shape(name: str, value: object, minimum: int = 0, hint: str = "") -> Sizes:
    """Return the shape of an array as a tuple of ints; `hint` says what to write instead."""
    try:
        shape = tuple([operator.index(item) for item in value])  # type: ignore[attr-defined]
    except TypeError:
        raise TypeError(f"{name} must be a sequence of ints, not {shown(value)}{hint}") from None
    for item in shape:
        check_range(name, item, minimum)
    return shape


class PaddingContent(NamedTuple):
    """What the padding holds."""

    modes: tuple[str, ...]
    """The name of the padding mode of each spatial axis in numpy.pad."""
    value: complex
    """The constant along axes with the mode "constant"."""


def freeze_padding_mode(padding_mode: object) -> str | tuple[str, ...]:
    """Return the padding mode as a string, or as a tuple with one string per axis."""
    if isinstance(padding_mode, str):
        return str(padding_mode)
    values = tuple(padding_mode) if isinstance(padding_mode, list | tuple) else ()
    if not values or not all(isinstance(value, str) for value in values):
        hint = "; leave it out for zeros" if padding_mode is None else ""
        raise TypeError(f"padding_mode must be a string or one string per spatial axis, not {padding_mode!r}{hint}")
    return tuple([str(value) for value in values])


def check_padding_mode(padding_mode: str) -> str:
    """Return the name of a padding mode in numpy.pad, or raise."""
    if padding_mode not in PADDING_MODES:
        modes = ", ".join(map(repr, PADDING_MODES))
        known = FOREIGN_MODES.get(padding_mode.lower())
        hint = f"; here that is {known!r}" if known else did_you_mean(padding_mode, PADDING_MODES)
        raise ValueError(f"padding_mode must be one of {modes}, not {padding_mode!r}{hint}")
    return PADDING_MODES[padding_mode]


def padding_modes(padding_mode: object, rank: int) -> tuple[str, ...]:
    """Return the name of the padding mode of each spatial axis in numpy.pad."""
    frozen = freeze_padding_mode(padding_mode)
    modes = (frozen,) * rank if isinstance(frozen, str) else frozen
    if len(modes) != rank:
        raise ValueError(
            f"padding_mode must be a string or one string per spatial axis, of which there are {rank}, "
            f"not {padding_mode!r}"
        )
    return tuple(map(check_padding_mode, modes))


def freeze_padding_value(padding_value: object) -> complex:
    """Return the padding value as a float, or if it has an imaginary part as a complex number.

    All real NaNs are the same object, so that they are the same key of a cache.
    """
    if isinstance(padding_value, Complex) and not isinstance(padding_value, Real):
        value = complex(padding_value)
        return value if value.imag != 0 else freeze_padding_value(value.real)
    if isinstance(padding_value, str | bytes) or not hasattr(padding_value, "__float__"):
        raise TypeError(f"padding_value must be a number, not {shown(padding_value)}{hint_value(padding_value)}")
    try:
        value = float(padding_value)
    except (OverflowError, TypeError, ValueError):  # a huge int, or an array of several numbers
        hint = hint_value(padding_value)
        raise ValueError(
            f"padding_value must be one number that fits a float, not {shown(padding_value)}{hint}"
        ) from None
    return math.nan if math.isnan(value) else value


def hint_value(padding_value: object) -> str:
    """Return a hint for several values, as numpy.pad takes them for each side, or an empty string."""
    several = isinstance(padding_value, SEQUENCES) or getattr(padding_value, "ndim", 0) > 0
    return "; for several values pass numpy.pad(x, ..., constant_values=...) with padding=0" if several else ""


def padding_content(padding_mode: object, padding_value: object, rank: int) -> PaddingContent:
    """Validate padding_mode and padding_value for a number of spatial axes."""
    modes, value = padding_modes(padding_mode, rank), freeze_padding_value(padding_value)
    if value != 0 and "constant" not in modes:
        raise ValueError(
            f"padding_value={padding_value!r} is for padding_mode='zeros', but padding_mode is {padding_mode!r}, which "
            "repeats x in the padding; leave one of them out"
        )
    return PaddingContent(modes, value)


def check_extendable(modes: Sequence[str], in_size: Sizes, pads: Sequence[Pair]) -> None:
    """Raise if the padding repeats elements along an axis that has none."""
    for axis, (mode, size, pad) in enumerate(zip(modes, in_size, pads)):
        if size == 0 and mode != "constant" and max(pad) > 0:
            raise ValueError(
                f"spatial axis {axis} of the input has length 0, so padding_mode={mode!r} has nothing to repeat; only "
                "'zeros' can extend it"
            )


def check_value_fits(value: complex, itemsize: int) -> None:
    """Raise if a finite padding value is beyond the type that is computed in."""
    if itemsize == 4 and LARGEST_FLOAT32 < abs(value) < math.inf:
        raise ValueError(
            f"padding_value={value!r} is too large for float32; pass x or weight as float64 to compute in float64"
        )


def check_no_value(padding_value: object) -> None:
    """Raise unless the padding value is 0, for a convolution as a matrix."""
    if freeze_padding_value(padding_value) != 0:
        raise ValueError(
            f"padding_value={padding_value!r} makes the convolution M @ x + c, of which this is only the matrix M; "
            "leave padding_value out, and add c = conv(numpy.zeros_like(x), weight, ..., with padding_value)"
        )


def check_algorithm(algorithm: object) -> str:
    """Return the name of an algorithm, or "auto"; raise for other values."""
    if not isinstance(algorithm, str):
        raise TypeError(f"algorithm must be a string, not {algorithm!r}")
    names = ["auto", *ALGORITHMS]
    if algorithm not in names:
        hint = did_you_mean(algorithm, names)
        raise ValueError(f"algorithm must be one of {', '.join(map(repr, names))}, not {algorithm!r}{hint}")
    return str(algorithm)


def raise_undefined(algorithm: str, operation: str, others: list[str]) -> NoReturn:
    """Raise for an algorithm that cannot compute an operation; `others` are those that can."""
    names = ", ".join(map(repr, dict.fromkeys(others)))
    needs = ALGORITHM_NEEDS[algorithm]
    if operation == "weight_gradient":
        needs = "a gradient of the weight knows 'gemm', 'direct' and 'fft'"
    raise ValueError(
        f"algorithm={algorithm!r} is not defined for this {OPERATION_NAMES[operation]}, only {names} and 'auto'; "
        f"rule: {needs}"
    )


def per_axis(name: str, value: object, rank: int, minimum: int = 1) -> Sizes:
    """Return one int per spatial axis, each from `minimum` to LARGEST_INT."""
    frozen = freeze(name, value)
    if isinstance(frozen, int):
        check_range(name, frozen, minimum)
        return (frozen,) * rank
    values: tuple[Any, ...] = frozen if isinstance(frozen, tuple) else (frozen,)
    if not all(isinstance(item, int) for item in values):
        raise TypeError(f"{name} must be {INT_PER_AXIS}, not {shown(value)}")
    if len(values) != rank:
        hint = hint_axes(name, values, rank)
        raise ValueError(f"{name} must be {INT_PER_AXIS}, of which there are {rank}, not {shown(value)}{hint}")
    for item in values:
        check_range(name, item, minimum)
    return values


def hint_axes(name: str, values: tuple[int, ...], rank: int) -> str:
    """Return a hint for an option that also has numbers for the batch and the channels, or an empty string."""
    if name.endswith("_size"):
        longer = (rank + 2,) if name == "kernel_size" else (rank + 1, rank + 2)
        if len(values) not in longer:
            return ""
        return f"; of the shape of an array, take shape[-{rank}:], or with channels_last=True shape[-{rank + 1}:-1]"
    if len(values) != rank + 2:
        return ""
    for spatial, others in (values[2:], values[:2]), (values[1:-1], values[:1] + values[-1:]):
        if others == (1, 1):
            return f"; of one number for each axis of x, take those of the spatial axes: {name}={spatial}"
    return ""


def check_range(name: str, value: int, minimum: int) -> None:
    """Raise unless ``minimum <= value <= LARGEST_INT``."""
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {value}")
    if value > LARGEST_INT:
        raise ValueError(f"{name} must be at most {LARGEST_INT}, not {value}")


def pad_same(size: int, extent: int, stride: int) -> Pair:
    """Return the padding for ``ceil(size / stride)`` outputs; of an odd total, the larger half is after the input."""
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    return total // 2, total - total // 2


# The padding that each name means along one axis: (input size, extent, stride) -> (before, after).
PADDING_NAMES: dict[str, Callable[[int, int, int], Pair]] = {
    "valid": lambda _size, _extent, _stride: (0, 0),
    "same": pad_same,
    "same_lower": lambda size, extent, stride: pad_same(size, extent, stride)[::-1],
    "full": lambda _size, extent, _stride: (extent - 1, extent - 1),
    "causal": lambda _size, extent, _stride: (extent - 1, 0),
}


def hint_padding_name(name: str, names: Iterable[str]) -> str:
    """Return a hint for a padding that is none of the names, or an empty string."""
    lower = name.lower()
    if lower in PADDING_MODES:
        return f"; {lower!r} is a padding_mode"
    if lower == "same_upper":  # of ONNX
        return "; here that is 'same'"
    return did_you_mean(name, names)


def named_padding(name: str, in_size: Sizes, extents: Sizes, stride: Sizes) -> tuple[Pair, ...]:
    """Return (before, after) per axis from the name of a padding."""
    if name not in PADDING_NAMES:
        names = ", ".join(map(repr, PADDING_NAMES))
        hint = hint_padding_name(name, PADDING_NAMES)
        raise ValueError(f"padding must be numbers or one of the names {names}, not {name!r}{hint}")
    if name == "causal" and len(in_size) > 1:
        raise ValueError(f"padding='causal' is for 1-D convolutions; this one has {len(in_size)} spatial axes")
    return tuple(map(PADDING_NAMES[name], in_size, extents, stride))


def numeric_padding(padding: int | tuple[Any, ...], rank: int) -> tuple[Pair, ...]:
    """Return (before, after) per axis from an int, one int per axis, or one pair per axis."""
    if isinstance(padding, int):
        check_range("padding", padding, -LARGEST_INT)
        return ((padding, padding),) * rank
    if len(padding) != rank:
        hint = hint_pairs(padding, rank)
        raise ValueError(f"padding must be {FORMS['padding']}, of which there are {rank}, not {padding!r}{hint}")
    pairs = []
    for value in padding:
        pair = value if isinstance(value, tuple) else (value, value)
        if len(pair) != 2 or not all(isinstance(item, int) for item in pair):
            raise TypeError(f"padding must hold ints or (before, after) pairs of ints, not {value!r}")
        for item in pair:
            check_range("padding", item, -LARGEST_INT)
        pairs.append(pair)
    return tuple(pairs)


def hint_pairs(values: tuple[Any, ...], rank: int) -> str:
    """Return a hint for paddings that are written as in other libraries, or an empty string.

    numpy.pad has a pair for every axis of the array. In torch.nn.functional.pad the numbers are before and after along
    the last axis, then along the axis before it, and so on. ONNX has all numbers before the axes first, then all after.
    """
    are_pairs = len(values) in (rank + 1, rank + 2) and all(isinstance(item, tuple) for item in values)
    if are_pairs and not any(map(any, values[:-rank])):  # the batch and the channels have no padding
        return f"; of numpy.pad's pairs, take those of the spatial axes: padding={values[-rank:]}"
    if len(values) != 2 * rank or not all(isinstance(item, int) for item in values):
        return ""
    if rank == 1:
        return f"; for {values[0]} before and {values[1]} after write padding=({values},)"
    of_torch = tuple([values[2 * axis : 2 * axis + 2] for axis in reversed(range(rank))])
    of_onnx = tuple(zip(values[:rank], values[rank:]))
    return f"; for functional.pad's {values} write padding={of_torch}, for the pads of ONNX padding={of_onnx}"


def resolve(padding: object, in_size: Sizes, extents: Sizes, stride: Sizes) -> tuple[Pair, ...]:
    """Return (before, after) per axis from any form of padding; `extents` are the positions that the kernel covers."""
    frozen = freeze("padding", padding)
    if isinstance(frozen, str):
        return named_padding(frozen, in_size, extents, stride)
    return numeric_padding(frozen, len(in_size))


def check_activation(activation: object) -> object:
    """Return the name of an activation, or None; raise for other values."""
    if activation is not None and activation != "relu":
        hint = "; did you mean 'relu'?" if str(activation).strip().lower() == "relu" else ""
        raise ValueError(f"activation must be None or 'relu', not {activation!r}{hint}")
    return activation


def check_group_count(groups: object) -> int:
    """Return groups as an int of at least 1, or raise."""
    try:
        count = operator.index(groups)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"groups must be an int, not {groups!r}") from None
    check_range("groups", count, 1)
    return count
