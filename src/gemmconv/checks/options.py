"""Options: stride, padding, dilation, groups and padding_mode normalised and validated, apart from any array.

What an option means for given sizes is here as well: the names of padding. The messages name the option, what came and
what is expected, and where a mistake has a usual cause, what to write instead.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

Pair = tuple[int, int]
Sizes = tuple[int, ...]
Frozen = int | str | tuple[Any, ...]

# What users may write.
Ints = int | Sequence[int]
Padding = int | str | Sequence[int | Sequence[int]]

# BLAS counts in 32-bit integers in every published wheel of SciPy.
LARGEST_INT = 2**31 - 1

SEQUENCES = (list, tuple, range)

# The forms of an option, for messages.
FORMS = {"padding": "an int, a name, or one int or (before, after) pair per spatial axis"}
INT_PER_AXIS = "an int or one int per spatial axis"

# The name of each padding mode in numpy.pad; the last two are PyTorch's synonyms.
PADDING_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "edge": "edge",
    "wrap": "wrap",
    "symmetric": "symmetric",
    "replicate": "edge",
    "circular": "wrap",
}

ALGORITHMS = ("gemm", "direct", "winograd", "winograd2")

# What the algorithms need that are not defined for every operation and geometry.
_WINOGRAD_NEEDS = "kernel 3x3 or 1x3 (or 3 in 1-D), stride and dilation 1, one or two axes"
ALGORITHM_NEEDS = {
    "direct": "at most 4096 taps in a kernel, which span no more than some 10000 positions of a row",
    "winograd": _WINOGRAD_NEEDS,
    "winograd2": _WINOGRAD_NEEDS,
}

# What messages call an operation.
OPERATION_NAMES = {
    "convolution": "convolution",
    "input_gradient": "gradient (or transposed convolution)",
    "weight_gradient": "gradient",
}

# What other libraries call the padding modes.
FOREIGN_MODES = {"constant": "zeros", "mirror": "reflect", "nearest": "edge", "grid-wrap": "wrap"}


def shown(value: object) -> str:
    """Return what came as a message shows it: on one line, and not the whole of an array."""
    if getattr(value, "ndim", 0) > 1:
        return f"an array of shape {tuple(value.shape)}"  # type: ignore[attr-defined]
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:80]} ... ({type(value).__name__})"


def freeze(name: str, value: object, depth: int = 2) -> Frozen:
    """Return an option as an int, a name or a tuple (of tuples) of ints, so that it can be a key of a cache."""
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


def as_shape(name: str, value: object, minimum: int = 0) -> Sizes:
    """Return the shape of an array as a tuple of ints."""
    try:
        shape = tuple([operator.index(item) for item in value])  # type: ignore[attr-defined]
    except TypeError:
        raise TypeError(f"{name} must be a sequence of ints, not {shown(value)}") from None
    for item in shape:
        check_range(name, item, minimum)
    return shape


def check_padding_mode(padding_mode: object) -> str:
    """Return NumPy's name of a padding mode."""
    if not isinstance(padding_mode, str):
        raise TypeError(f"padding_mode must be a string, not {padding_mode!r}")
    if padding_mode not in PADDING_MODES:
        modes = ", ".join(map(repr, PADDING_MODES))
        hint = f"; here that is {FOREIGN_MODES[padding_mode]!r}" if padding_mode in FOREIGN_MODES else ""
        raise ValueError(f"padding_mode must be one of {modes}, not {padding_mode!r}{hint}")
    return PADDING_MODES[padding_mode]


def check_algorithm(algorithm: object) -> str:
    """Return the name of an algorithm, or "auto"."""
    if not isinstance(algorithm, str):
        raise TypeError(f"algorithm must be a string, not {algorithm!r}")
    names = ["auto", *ALGORITHMS]
    if algorithm not in names:
        raise ValueError(f"algorithm must be one of {', '.join(map(repr, names))}, not {algorithm!r}")
    return str(algorithm)


def raise_undefined(algorithm: str, operation: str, others: list[str]) -> NoReturn:
    """Raise for an algorithm that cannot compute an operation; `others` are those that can."""
    names = ", ".join(map(repr, dict.fromkeys(others)))
    needs = ALGORITHM_NEEDS[algorithm]
    if operation == "weight_gradient":
        needs = "a gradient of the weight knows 'gemm' and 'direct'"
    raise ValueError(
        f"algorithm={algorithm!r} is not defined for this {OPERATION_NAMES[operation]}, only {names} and 'auto'; "
        f"rule: {needs}"
    )


def per_axis(name: str, value: object, rank: int, minimum: int = 1) -> Sizes:
    """Return one int per spatial axis, none below the least."""
    frozen = freeze(name, value)
    if isinstance(frozen, int):
        check_range(name, frozen, minimum)
        return (frozen,) * rank
    values: tuple[Any, ...] = frozen if isinstance(frozen, tuple) else (frozen,)
    if not all(isinstance(item, int) for item in values):
        raise TypeError(f"{name} must be {INT_PER_AXIS}, not {shown(value)}")
    if len(values) != rank:
        hint = f"; of a shape with batch and channels, take shape[-{rank}:]" if len(values) == rank + 2 else ""
        raise ValueError(f"{name} must be {INT_PER_AXIS}, of which there are {rank}, not {shown(value)}{hint}")
    for item in values:
        check_range(name, item, minimum)
    return values


def check_range(name: str, value: int, minimum: int) -> None:
    """Raise unless ``minimum <= value <= LARGEST_INT``."""
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {value}")
    if value > LARGEST_INT:
        raise ValueError(f"{name} must be at most {LARGEST_INT}, not {value}")


def pad_same(size: int, extent: int, stride: int) -> Pair:
    """Return the padding for ``ceil(size / stride)`` outputs, the odd one after the input."""
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    return total // 2, total - total // 2


# What each name means along one axis: (input size, extent, stride) -> (before, after).
PADDING_NAMES: dict[str, Callable[[int, int, int], Pair]] = {
    "valid": lambda _size, _extent, _stride: (0, 0),
    "same": pad_same,
    "same_lower": lambda size, extent, stride: pad_same(size, extent, stride)[::-1],
    "full": lambda _size, extent, _stride: (extent - 1, extent - 1),
    "causal": lambda _size, extent, _stride: (extent - 1, 0),
}


def named_padding(name: str, in_size: Sizes, extents: Sizes, stride: Sizes) -> tuple[Pair, ...]:
    """Return what the name of a padding means for these sizes."""
    if name not in PADDING_NAMES:
        names = ", ".join(map(repr, PADDING_NAMES))
        hint = f"; {name!r} is a padding_mode" if name in PADDING_MODES else ""
        hint = f"; did you mean {name.lower()!r}?" if name.lower() in PADDING_NAMES else hint
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
    """Return how to write paddings that seem to be meant as before and after along each axis, last axis first."""
    if len(values) != 2 * rank or not all(isinstance(item, int) for item in values):
        return ""
    pairs = tuple([values[2 * axis : 2 * axis + 2] for axis in reversed(range(rank))])
    meant = f"{values[0]} before and {values[1]} after" if rank == 1 else f"functional.pad's {values}"
    return f"; for {meant} write padding={pairs}"


def resolve(padding: object, in_size: Sizes, extents: Sizes, stride: Sizes) -> tuple[Pair, ...]:
    """Return (before, after) per axis from any form of padding."""
    frozen = freeze("padding", padding)
    if isinstance(frozen, str):
        return named_padding(frozen, in_size, extents, stride)
    return numeric_padding(frozen, len(in_size))


def check_activation(activation: object) -> object:
    """Return the name of an activation, or None."""
    if activation is not None and activation != "relu":
        raise ValueError(f"activation must be None or 'relu', not {activation!r}")
    return activation


def check_group_count(groups: object) -> int:
    """Return groups as an int of at least 1."""
    try:
        count = operator.index(groups)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"groups must be an int, not {groups!r}") from None
    check_range("groups", count, 1)
    return count
