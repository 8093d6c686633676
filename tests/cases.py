"""One table of named problems, and the data for them: what every test of arithmetic runs over.

A case is (x shape, weight shape, options). The names say what is special about it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """One convolution: the shapes of x and weight, and the options of `gemmconv.conv`."""

    x: tuple[int, ...]
    weight: tuple[int, ...]
    options: dict[str, Any] = {}  # noqa: RUF012


CASES = {
    # 1-D
    "1d": Case((2, 3, 12), (2, 3, 4)),
    "1d_stride": Case((2, 3, 17), (4, 3, 4), {"stride": 3}),
    "1d_dilation": Case((1, 5, 40), (3, 5, 3), {"dilation": 7, "padding": 7}),
    "1d_causal": Case((2, 3, 30), (4, 3, 2), {"dilation": 8, "padding": "causal"}),
    "1d_pair": Case((1, 2, 9), (3, 2, 4), {"padding": ((1, 4),)}),
    "1d_depthwise": Case((2, 6, 50), (6, 1, 7), {"groups": 6, "padding": 3}),
    "1d_full": Case((1, 1, 4), (1, 1, 3), {"padding": "full", "flip": True}),
    "1d_long": Case((1, 2, 1000), (5, 2, 10), {"stride": 5}),
    # 2-D
    "one_pixel": Case((1, 1, 1, 1), (1, 1, 1, 1)),
    "one_output": Case((2, 3, 5, 7), (4, 3, 5, 7)),
    "one_tap": Case((2, 20, 9, 11), (7, 20, 1, 1)),
    "one_tap_padded": Case((1, 4, 5, 5), (3, 4, 1, 1), {"padding": 2}),
    "one_tap_stride": Case((2, 8, 9, 10), (5, 8, 1, 1), {"stride": 2}),
    "one_tap_groups": Case((2, 8, 6, 6), (6, 4, 1, 1), {"groups": 2}),
    "one_tap_cropped": Case((1, 3, 8, 8), (2, 3, 1, 1), {"padding": ((-1, 1), (1, -1))}),
    "same_3x3": Case((2, 5, 13, 11), (6, 5, 3, 3), {"padding": "same"}),
    "same_even": Case((1, 3, 10, 9), (2, 3, 4, 2), {"padding": "same"}),
    "same_lower_even": Case((1, 3, 10, 9), (2, 3, 4, 2), {"padding": "same_lower"}),
    "same_stride": Case((1, 3, 11, 14), (4, 3, 5, 3), {"padding": "same", "stride": (2, 3)}),
    "full": Case((1, 2, 5, 6), (3, 2, 3, 4), {"padding": "full"}),
    "first_layer": Case((2, 3, 33, 31), (8, 3, 7, 7), {"stride": 2, "padding": 3}),
    "stride_unused_tail": Case((1, 4, 10, 12), (3, 4, 3, 3), {"stride": (4, 5)}),
    "stride_wider_than_kernel": Case((1, 4, 17, 19), (3, 4, 2, 2), {"stride": 5, "padding": 1}),
    "dilation": Case((1, 4, 20, 21), (3, 4, 3, 3), {"dilation": (2, 3), "padding": (2, 3)}),
    "dilation_beyond_input": Case((1, 4, 5, 5), (3, 4, 3, 3), {"dilation": 6, "padding": 6}),
    "asymmetric": Case((2, 3, 8, 9), (4, 3, 3, 2), {"padding": ((0, 3), (2, 1))}),
    "negative": Case((1, 3, 12, 13), (4, 3, 3, 3), {"padding": ((-2, 1), (3, -4))}),
    "negative_stride": Case((1, 3, 12, 13), (4, 3, 3, 3), {"padding": -1, "stride": 2}),
    "crop_into_padding": Case((1, 2, 3, 4), (2, 2, 1, 2), {"padding": ((-4, 6), (5, -4))}),
    "padding_wider_than_input": Case((1, 2, 2, 3), (3, 2, 2, 2), {"padding": 5}),
    "groups": Case((2, 12, 9, 9), (8, 3, 3, 3), {"groups": 4, "padding": 1}),
    "groups_uneven": Case((1, 6, 8, 7), (9, 2, 3, 3), {"groups": 3, "stride": 2}),
    "depthwise": Case((2, 5, 10, 12), (5, 1, 3, 3), {"groups": 5, "padding": 1}),
    "depthwise_multiplier": Case((1, 4, 10, 12), (12, 1, 3, 3), {"groups": 4, "padding": 1, "stride": 2}),
    "flip": Case((1, 3, 7, 8), (2, 3, 3, 2), {"flip": True, "padding": 1}),
    "row_kernel": Case((1, 2, 5, 30), (3, 2, 1, 9), {"padding": (0, 4)}),
    "column_kernel": Case((1, 2, 30, 5), (3, 2, 9, 1), {"padding": (4, 0)}),
    "unbatched": Case((3, 9, 8), (4, 3, 3, 3), {"padding": 1}),
    "empty_batch": Case((0, 3, 9, 8), (4, 3, 3, 3), {"padding": 1}),
    "several_tiles": Case((2, 9, 25, 43), (70, 9, 3, 3), {"padding": 1}),
    "several_tiles_in_place": Case((2, 30, 25, 43), (100, 30, 1, 1)),
    "several_blocks_of_taps": Case((1, 90, 21, 20), (35, 90, 3, 3), {"padding": 1}),
    "several_panels": Case((1, 260, 14, 15), (33, 260, 3, 3), {"padding": 1}),
    "several_blocks_of_channels": Case((2, 4, 7, 7), (515, 4, 3, 3), {"padding": 1}),
    "several_blocks_of_channels_in_place": Case((1, 7, 9, 9), (515, 7, 1, 1)),
    "stride_many_channels": Case((1, 9, 7, 41), (3, 9, 3, 3), {"stride": 2, "padding": 1}),
    "stride_3_many_channels": Case((1, 9, 7, 41), (3, 9, 3, 3), {"stride": 3, "padding": 1}),
    "stride_many_channels_padded": Case((1, 9, 5, 20), (3, 9, 3, 5), {"stride": 2, "padding": 9}),
    "large_kernel": Case((1, 1, 60, 61), (1, 1, 31, 31), {"padding": 15}),
    # other continuations of the input
    "reflect": Case((2, 2, 7, 8), (3, 2, 3, 5), {"padding": (1, 2), "padding_mode": "reflect"}),
    "edge": Case((1, 2, 7, 8), (3, 2, 3, 5), {"padding": ((0, 3), (4, 1)), "padding_mode": "edge"}),
    "wrap": Case((1, 2, 7, 8), (3, 2, 3, 5), {"padding": "same", "padding_mode": "wrap"}),
    "symmetric": Case((1, 2, 7, 8), (3, 2, 3, 5), {"padding": 2, "padding_mode": "symmetric", "stride": 2}),
    "wrap_around_twice": Case((1, 2, 3, 4), (3, 2, 3, 3), {"padding": 9, "padding_mode": "wrap"}),
    "reflect_repeatedly": Case((1, 2, 3, 4), (3, 2, 3, 3), {"padding": 9, "padding_mode": "reflect"}),
    "reflect_cropped": Case((1, 2, 7, 8), (3, 2, 3, 3), {"padding": ((3, -2), (-1, 4)), "padding_mode": "reflect"}),
    "edge_unbatched": Case((2, 7), (3, 2, 3), {"padding": 2, "padding_mode": "replicate"}),
    # 3-D
    "3d": Case((1, 3, 5, 6, 7), (4, 3, 2, 3, 3), {"padding": 1}),
    "3d_everything": Case(
        (2, 4, 9, 10, 11),
        (6, 2, 3, 2, 3),
        {"stride": (2, 1, 3), "padding": ((1, 2), (0, 1), (2, 0)), "dilation": (1, 3, 2), "groups": 2},
    ),
    "3d_depthwise": Case((1, 3, 6, 6, 6), (3, 1, 3, 3, 3), {"groups": 3, "padding": "same"}),
    "3d_one_tap": Case((2, 5, 3, 4, 5), (6, 5, 1, 1, 1)),
}

# Transposed convolutions: the shapes of x (N, C, *spatial) and weight (C, O/groups, *kernel), and the options of
# `gemmconv.conv_transpose`.
TRANSPOSED_CASES = {
    "1d": Case((2, 3, 9), (3, 2, 4)),
    "1d_stride": Case((2, 3, 9), (3, 4, 4), {"stride": 3, "padding": 1}),
    "1d_pair": Case((1, 2, 9), (2, 3, 4), {"stride": 2, "padding": ((1, 4),)}),
    "1d_depthwise": Case((2, 6, 20), (6, 1, 7), {"groups": 6, "padding": 3}),
    "1d_long_kernel": Case((1, 20, 12), (20, 1, 64), {"stride": 16}),
    "one_pixel": Case((1, 1, 1, 1), (1, 1, 1, 1)),
    "one_input": Case((2, 3, 1, 1), (3, 4, 5, 7)),
    "one_tap": Case((2, 20, 9, 11), (20, 7, 1, 1)),
    "one_tap_stride": Case((2, 8, 5, 6), (8, 5, 1, 1), {"stride": 2, "output_padding": (1, 0)}),
    "3x3": Case((2, 5, 13, 11), (5, 6, 3, 3), {"padding": 1}),
    "upsample": Case((2, 6, 7, 9), (6, 5, 4, 4), {"stride": 2, "padding": 1}),
    "output_padding": Case((1, 4, 6, 5), (4, 3, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    "output_padding_dilation": Case(
        (1, 4, 6, 5), (4, 3, 3, 3), {"dilation": 3, "padding": 2, "output_padding": (2, 1)}
    ),
    "output_size": Case((1, 4, 6, 5), (4, 3, 3, 3), {"stride": 3, "padding": 1, "output_size": (18, 14)}),
    "stride_wider_than_kernel": Case((1, 4, 4, 5), (4, 3, 2, 2), {"stride": 5, "output_padding": (4, 2)}),
    "dilation": Case((1, 4, 9, 10), (4, 3, 3, 3), {"dilation": (2, 3), "stride": (3, 2), "padding": (2, 3)}),
    "same": Case((2, 3, 6, 5), (3, 4, 3, 3), {"padding": "same"}),
    "same_stride": Case((2, 3, 6, 5), (3, 4, 5, 4), {"padding": "same", "stride": (2, 3)}),
    "same_stride_wider_than_kernel": Case((1, 3, 6, 5), (3, 4, 2, 1), {"padding": "same", "stride": 4}),
    "valid": Case((1, 3, 6, 5), (3, 4, 3, 2), {"padding": "valid", "stride": 2}),
    "asymmetric": Case((2, 3, 8, 9), (3, 4, 3, 2), {"padding": ((0, 3), (2, 1)), "stride": 2}),
    "negative": Case((1, 3, 6, 7), (3, 4, 3, 3), {"padding": ((-2, 1), (3, -4)), "stride": (1, 2)}),
    "padding_only": Case((1, 2, 4, 4), (2, 3, 2, 2), {"padding": ((6, -7), (-9, 8))}),
    "groups": Case((2, 12, 7, 7), (12, 2, 3, 3), {"groups": 4, "padding": 1}),
    "groups_uneven": Case((1, 6, 5, 4), (6, 3, 3, 3), {"groups": 3, "stride": 2}),
    "depthwise": Case((2, 5, 6, 7), (5, 1, 4, 4), {"groups": 5, "stride": 2, "padding": 1}),
    "depthwise_multiplier": Case((1, 4, 6, 7), (4, 3, 3, 3), {"groups": 4, "padding": 1, "stride": 2}),
    "unbatched": Case((3, 9, 8), (3, 4, 3, 3), {"padding": 1, "stride": 2}),
    "empty_batch": Case((0, 3, 9, 8), (3, 4, 3, 3), {"padding": 1}),
    "several_tiles": Case((2, 9, 25, 43), (9, 40, 3, 3), {"padding": 1}),
    "several_tiles_stride": Case((1, 9, 25, 43), (9, 20, 4, 4), {"stride": 2, "padding": 1}),
    "3d": Case((1, 3, 4, 5, 6), (3, 4, 2, 3, 3), {"padding": 1}),
    "3d_everything": Case(
        (2, 4, 3, 4, 5),
        (4, 3, 3, 2, 3),
        {
            "stride": (2, 1, 3),
            "padding": ((1, 2), (0, 1), (2, 0)),
            "dilation": (1, 3, 2),
            "groups": 2,
            "output_padding": (1, 2, 0),
        },
    ),
}


def spatial_options(case: Case) -> dict[str, Any]:
    """Return the options of a case that the patch matrix depends on."""
    return {name: value for name, value in case.options.items() if name not in ("groups", "flip")}


def integers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    """Return small integers: every sum of their products is exact in float32 up to a million terms."""
    return np.random.default_rng([seed, *shape]).integers(-4, 5, shape).astype(dtype)


# Multiples of this make all that Winograd's algorithm computes of small integers exact.
EXACT_MULTIPLE = 576


def integer_weights(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    """Return weights with which the result of every algorithm is exact for small integers."""
    return integers(shape, dtype, seed) * EXACT_MULTIPLE


def arrays_of(case: Case, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, weight and bias of a case as small integers."""
    return (
        integers(case.x, dtype, 1),
        integer_weights(case.weight, dtype, 2),
        integers(case.weight[:1], dtype, 3),
    )
