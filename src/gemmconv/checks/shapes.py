"""Shapes: whether the shapes of the arguments fit together, and shapes that follow from others.

Functions named ``check_...`` raise, functions named ``..._of`` also return the shape that follows. A message names the
argument, what came and what is expected. If a mistake has a usual cause, it also says what to write instead. The tests
match these messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

from .options import Sizes, as_shape, check_group_count, freeze, per_axis

# The axes of x and of weight as messages show them, by the number of spatial axes.
X_SHAPES = {1: "(N, C, L) or (C, L)", 2: "(N, C, H, W) or (C, H, W)"}
X_SHAPES[3] = "(N, C, D, H, W) or (C, D, H, W)"
CHANNELS_LAST_SHAPES = {1: "(N, L, C) or (L, C)", 2: "(N, H, W, C) or (H, W, C)"}
CHANNELS_LAST_SHAPES[3] = "(N, D, H, W, C) or (D, H, W, C)"
WEIGHT_SHAPES = {1: "(O, C/groups, KL)", 2: "(O, C/groups, KH, KW)", 3: "(O, C/groups, KD, KH, KW)"}
TRANSPOSED_WEIGHT_SHAPES = {rank: "(C, O/groups" + shape[12:] for rank, shape in WEIGHT_SHAPES.items()}

# The most taps along an axis of what is taken for a kernel in a weight of another order.
LARGEST_USUAL_KERNEL = 11


def check_shapes(x_shape: Sizes, weight_shape: Sizes, rank: int | None, transposed: bool = False) -> int:
    """Return the number of spatial axes, or raise unless x and weight have the axes for it."""
    shapes = TRANSPOSED_WEIGHT_SHAPES if transposed else WEIGHT_SHAPES
    check_weight_rank(weight_shape, rank, shapes)
    rank = len(weight_shape) - 2
    check_x_shape(x_shape, rank, f"weight of shape {weight_shape}")
    check_weight_shape(weight_shape, shapes)
    return rank


def channels_first(shape: Sizes, rank: int) -> Sizes:
    """Return the shape of an array with its last axis, the channels, moved before the spatial axes."""
    return (*shape[: -rank - 1], shape[-1], *shape[-rank - 1 : -1])


def channels_last(shape: Sizes, rank: int) -> Sizes:
    """Return the shape of an array with its channels moved behind the spatial axes."""
    return (*shape[: -rank - 1], *shape[-rank:], shape[-rank - 1])


def arranged(shape: Sizes, rank: int, are_last: bool) -> Sizes:
    """Return the shape, which has the channels first, as the caller has it."""
    return channels_last(shape, rank) if are_last else shape


def moved_channels(name: str, shape: Sizes, rank: int, given: str) -> Sizes:
    """Return the shape with channels first of an array with channels last, or raise if it has other axes.

    `given` is the argument that determines the number of spatial axes.
    """
    if len(shape) not in (rank + 1, rank + 2):
        expected = CHANNELS_LAST_SHAPES[rank].replace("C", "C" if name == "x" else "O")
        hint = "; for a single channel pass x[..., None]" if len(shape) == rank and name == "x" else ""
        raise ValueError(
            f"{name} has shape {shape}, but with {given} and channels_last=True it must be {expected}{hint}"
        )
    return channels_first(shape, rank)


def moved_x_channels(
    x_shape: Sizes, weight_shape: Sizes, rank: int | None, channels: int, transposed: bool = False
) -> Sizes:
    """Return the shape with channels first of an x with channels last; `channels` are those that weight takes."""
    check_weight_rank(weight_shape, rank, TRANSPOSED_WEIGHT_SHAPES if transposed else WEIGHT_SHAPES)
    rank = len(weight_shape) - 2
    moved = moved_channels("x", x_shape, rank, f"weight of shape {weight_shape}")
    if x_shape[-1] != channels == x_shape[-rank - 1]:
        raise ValueError(
            f"x has shape {x_shape}, whose last axis are the channels with channels_last=True, but weight takes "
            f"{channels} channels; x may have its channels first: leave channels_last out"
        )
    return moved


@contextmanager
def telling_of_moved_channels(are_last: bool) -> Iterator[None]:
    """Say in the message of a ValueError how it shows the shapes of arrays whose channels are last."""
    try:
        yield
    except ValueError as error:
        if not are_last or "shape" not in str(error) or "channels_last" in str(error):
            raise
        raise ValueError(
            f"{error} (channels_last=True: here shapes are shown with the channels before the spatial axes)"
        ) from None


def check_weight_shape(weight_shape: Sizes, shapes: dict[int, str] = WEIGHT_SHAPES) -> None:
    """Raise unless weight has one to three spatial axes, and none of them is empty."""
    check_weight_rank(weight_shape, None, shapes)
    if 0 in weight_shape[2:]:
        expected = shapes[len(weight_shape) - 2]
        raise ValueError(f"weight has shape {weight_shape}: no axis of the kernel may be empty, expected {expected}")


def check_weight_rank(weight_shape: Sizes, rank: int | None, shapes: dict[int, str]) -> None:
    """Raise unless weight has `rank` spatial axes, or one to three if `rank` is None."""
    ranks = shapes if rank is None else [rank]
    if len(weight_shape) - 2 not in ranks:
        noun = "transposed convolution" if shapes is TRANSPOSED_WEIGHT_SHAPES else "convolution"
        kind = f"a {noun}" if rank is None else f"a {rank}-D {noun}"
        expected = " or ".join(shapes[r] for r in ranks)
        is_kernel = len(weight_shape) == rank or (rank is None and len(weight_shape) in (1, 2))
        hint = "; for a single kernel pass weight[None, None]" if is_kernel else ""
        raise ValueError(f"weight has shape {weight_shape}, but {kind} needs {expected}{hint}")


def check_x_shape(x_shape: Sizes, rank: int, given: str) -> None:
    """Raise unless x has `rank` spatial axes; `given` is the argument that determines their number."""
    if len(x_shape) not in (rank + 1, rank + 2):
        hint = "; for a single channel pass x[None]" if len(x_shape) == rank else ""
        raise ValueError(f"x has shape {x_shape}, but with {given} it must be {X_SHAPES[rank]}{hint}")


def hint_sequence(number: object, square: str) -> str:
    """Return a hint for a number in place of a sequence; `square` is what has that size along two axes."""
    return f"; for one axis pass ({number},), for {square} ({number}, {number})"


def check_kernel_size(kernel_size: object) -> Sizes:
    """Return the kernel's size as a tuple; its length is the number of spatial axes."""
    is_number = hasattr(kernel_size, "__index__") and not hasattr(kernel_size, "__len__")
    hint = hint_sequence(kernel_size, "a square kernel") if is_number else ""
    size = as_shape("kernel_size", kernel_size, minimum=1, hint=hint)
    if not 1 <= len(size) <= 3:
        hint = "; of the weight's shape, take weight.shape[2:]" if len(size) in (4, 5) else ""
        raise ValueError(
            f"kernel_size must have one to three spatial axes such as (3, 3) or (3,), not {len(size)}{hint}"
        )
    return size


def x_shape_of(weight_shape: Sizes, input_size: object, groups: object) -> Sizes:
    """Return the shape of the input, without a batch axis, for a weight of this shape and an input size."""
    check_weight_shape(weight_shape)
    rank = len(weight_shape) - 2
    size = per_axis("input_size", freeze("input_size", input_size), rank, minimum=0)
    return (weight_shape[1] * check_group_count(groups), *size)


def x_shape_of_columns(columns_shape: Sizes, input_size: object, kernel_size: object, are_last: bool = False) -> Sizes:
    """Return the shape of the input whose patch matrix has the shape `columns_shape`.

    Whether the number of columns fits is not checked here. `are_last` says that channels are last: the matrix is then
    the transpose, and so is the shape of the input.
    """
    kernel = check_kernel_size(kernel_size)
    size = per_axis("input_size", freeze("input_size", input_size), len(kernel), minimum=0)
    expected = "(N, C * prod(kernel_size), L) or (C * prod(kernel_size), L)"
    if are_last:
        expected = "(N, L, prod(kernel_size) * C) or (L, prod(kernel_size) * C)"
    if len(columns_shape) not in (2, 3):
        raise ValueError(f"columns has shape {columns_shape}, but it must be {expected}")
    rows = columns_shape[-1 if are_last else -2]
    if rows % prod(kernel):
        raise ValueError(
            f"columns has {rows} {'columns' if are_last else 'rows'}, which is no multiple of the "
            f"{prod(kernel)} taps of kernel_size {kernel}; expected shape {expected}"
        )
    channels = (*columns_shape[:-2], rows // prod(kernel), *size)
    return channels_last(channels, len(size)) if are_last else channels


def check_plan_input(x_shape: Sizes, input_shape: Sizes) -> None:
    """Raise unless x is one image of the shape of a plan, or a batch of them."""
    if x_shape != input_shape and x_shape[1:] != input_shape:
        expected = ", ".join(map(str, input_shape))
        raise ValueError(f"x has shape {x_shape}, but this plan is for (N, {expected}) or ({expected})")


def check_array_shape(name: str, shape: Sizes, expected: Sizes, meaning: str, hint: str = "") -> None:
    """Raise unless an argument has the expected shape; `meaning` says what has that shape, `hint` ends the message."""
    if shape != expected:
        raise ValueError(f"{name} has shape {shape}, but {meaning} has shape {expected}{hint}")


def check_bias_shape(shape: Sizes, channels: int, hint: str = "") -> None:
    """Raise unless the bias has one value per output channel; `hint` ends the message if the shape has no hint."""
    if shape != (channels,):
        if shape == ():
            hint = f"; for one value for all channels pass numpy.full({channels}, bias)"
        elif prod(shape) == channels:
            hint = "; pass bias.ravel()"
        raise ValueError(
            f"bias has shape {shape}, but weight has {channels} output channels: expected ({channels},){hint}"
        )


def check_channels(x_shape: Sizes, weight_shape: Sizes, groups: int) -> None:
    """Raise unless groups divides the channels and weight has the channels of one group."""
    rank = len(weight_shape) - 2
    in_channels, taken = x_shape[-rank - 1], weight_shape[1] * groups
    for array, kind, channels in (("x", "input", in_channels), ("weight", "output", weight_shape[0])):
        if channels % groups:
            hint = hint_depthwise(weight_shape, groups) if array == "weight" else ""
            raise ValueError(f"groups={groups} does not divide the {channels} {kind} channels of {array}{hint}")
    if taken == in_channels:
        return
    raise ValueError(
        f"weight has {weight_shape[1]} input channels, but x has {in_channels} (groups={groups}); "
        f"rule: weight.shape[1] = channels of x / groups = {in_channels // groups}, "
        f"where x of shape {x_shape} is {X_SHAPES[rank]}{hint_channels(x_shape, weight_shape, groups)}"
    )


def hint_channels(x_shape: Sizes, weight_shape: Sizes, groups: int) -> str:
    """Return hints for the usual reasons why the channels of x and weight do not fit, or an empty string."""
    rank = len(weight_shape) - 2
    in_channels, taken = x_shape[-rank - 1], weight_shape[1] * groups
    if x_shape[-1] == taken:
        return "; if the channels of x are last, pass channels_last=True"
    hint = hint_tensorflow(x_shape, weight_shape, weight_shape[-2] * groups)
    if hint:
        return hint
    if weight_shape[1] == in_channels:
        return "; with groups=1 they fit" + hint_depthwise(weight_shape, groups)
    if taken == 1 and in_channels and weight_shape[0] % in_channels == 0:
        hint = f"; for a depthwise convolution pass groups={in_channels}"
    if taken == 1 and len(x_shape) == rank + 1:
        hint += f"; for {in_channels} inputs of one channel pass x[:, None]"
    return hint


def begins_with_kernel(weight_shape: Sizes) -> bool:
    """Whether weight may have the kernel first, as in TensorFlow; no kernel of one axis can be told from channels."""
    rank = len(weight_shape) - 2
    return rank > 1 and len({*weight_shape[:rank]}) == 1 and 1 <= weight_shape[0] <= LARGEST_USUAL_KERNEL


def hint_kernel_first(weight_shape: Sizes) -> str:
    """Return a hint if weight may have the order (kernel, C, O), or an empty string."""
    if not begins_with_kernel(weight_shape):
        return ""
    rank = len(weight_shape) - 2
    axes = ", ".join(map(str, (rank + 1, rank, *range(rank))))
    return f"; if weight has the order of TensorFlow, with the kernel first, pass weight.transpose({axes})"


def hint_depthwise(weight_shape: Sizes, groups: int) -> str:
    """Return a hint if weight may be that of a depthwise convolution in the order (kernel, C, O/C)."""
    *kernel, channels, multiplier = weight_shape
    if channels != groups or not begins_with_kernel(weight_shape):
        return ""
    rank = len(kernel)
    pass_this = f"weight.transpose({', '.join(map(str, (rank, rank + 1, *range(rank))))})"
    if multiplier > 1:
        pass_this += f".reshape{(channels * multiplier, 1, *kernel)}"
    return f"; if weight has the order of TensorFlow's depthwise convolution, pass {pass_this}"


def hint_tensorflow(x_shape: Sizes, weight_shape: Sizes, channels: int) -> str:
    """Return a hint if weight may have the kernel first, or an empty string; x must have `channels` channels then."""
    rank = len(weight_shape) - 2
    hint = hint_kernel_first(weight_shape)
    if not hint or channels not in (x_shape[-rank - 1], x_shape[-1]):
        return ""
    if channels != x_shape[-rank - 1]:
        hint += "; if the channels of x are last as well, pass channels_last=True"
    return hint


def x_shape_of_gradient(grad_shape: Sizes, weight_shape: Sizes, input_size: object, groups: object) -> Sizes:
    """Return the shape of the input for a gradient of the output; it has a batch axis if the gradient has one."""
    image = x_shape_of(weight_shape, input_size, groups)
    check_gradient_rank(grad_shape, len(image) - 1, f"weight of shape {weight_shape}")
    return (*grad_shape[: len(grad_shape) - len(image)], *image)


def weight_shape_of(grad_shape: Sizes, x_shape: Sizes, kernel_size: object, groups: object) -> Sizes:
    """Return the shape of the weight for a gradient of the output, an input and a kernel size."""
    kernel = check_kernel_size(kernel_size)
    rank, count = len(kernel), check_group_count(groups)
    check_x_shape(x_shape, rank, f"kernel_size {kernel}")
    check_gradient_rank(grad_shape, rank, f"kernel_size {kernel}")
    if len(grad_shape) != len(x_shape):
        raise ValueError(
            f"grad_output has shape {grad_shape}, but x has shape {x_shape}: both have a batch axis, or neither"
        )
    in_channels, out_channels = x_shape[-rank - 1], grad_shape[-rank - 1]
    for array, channels in (
        (f"{in_channels} input channels of x", in_channels),
        (f"{out_channels} channels of grad_output", out_channels),
    ):
        if channels % count:
            raise ValueError(f"groups={count} does not divide the {array}")
    return (out_channels, in_channels // count, *kernel)


def check_batched_gradient(grad_shape: Sizes, channels_last: bool) -> None:
    """Raise unless grad_output has a batch axis, channels, and one to three spatial axes."""
    if not 3 <= len(grad_shape) <= 5:
        first, last = "(N, O, L), (N, O, H, W) or (N, O, D, H, W)", "(N, L, O), (N, H, W, O) or (N, D, H, W, O)"
        forms = last if channels_last else first
        raise ValueError(
            f"grad_output has shape {grad_shape}, but must be {forms}; for a single image pass grad_output[None]"
        )


def check_gradient_rank(grad_shape: Sizes, rank: int, given: str) -> None:
    """Raise unless grad_output has `rank` spatial axes; `given` is the argument that determines their number."""
    if len(grad_shape) not in (rank + 1, rank + 2):
        expected = X_SHAPES[rank].replace("C", "O")
        raise ValueError(f"grad_output has shape {grad_shape}, but with {given} it must be {expected}")


def check_transposed_shapes(x_shape: Sizes, weight_shape: Sizes, rank: int | None, groups: int) -> int:
    """Return the number of spatial axes, or raise unless x and weight fit a transposed convolution."""
    rank = check_shapes(x_shape, weight_shape, rank, transposed=True)
    channels = x_shape[-rank - 1]
    if channels % groups:
        raise ValueError(f"groups={groups} does not divide the {channels} input channels of x")
    if channels != weight_shape[0]:
        hint = ""
        if weight_shape[1] * groups == channels:
            hint = "; if this is the weight of a convolution, pass numpy.swapaxes(weight, 0, 1)" if groups == 1 else ""
        elif x_shape[-1] == weight_shape[0]:
            hint = "; if the channels of x are last, pass channels_last=True"
        else:
            hint = hint_tensorflow(x_shape, weight_shape, weight_shape[-1])
        raise ValueError(
            f"weight has {weight_shape[0]} input channels, but x has {channels}; rule: the weight of a transposed "
            f"convolution is {TRANSPOSED_WEIGHT_SHAPES[rank]}{hint}"
        )
    return rank
