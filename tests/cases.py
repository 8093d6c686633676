"""The tables of named problems, and the data for them: what every test of arithmetic runs over.

A case is (x shape, weight shape, options). The names say what is special about it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gemmconv.checks.geometry import Geometry


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

# The cases of long kernels, for which "auto" may take "fft". It is not exact, so exact results are those of "direct".
CASES_OF_FFT = {"large_kernel"}


def exact_algorithm(name: str) -> str:
    """Return an algorithm whose results of a case are exact: "auto" where that is so."""
    return "direct" if name in CASES_OF_FFT else "auto"


# For the kernels: sums and rows that are too long for one pass, more channels than a block holds, rows of the output in
# several bands, taps that read nothing but padding, wide strides and distant taps.
KERNEL_CASES = {
    "blocks_and_slices": Case((1, 131, 12, 10), (70, 131, 3, 3), {"padding": 1}),
    "many_slices": Case((1, 30, 9, 40), (9, 30, 7, 7), {"padding": 3}),
    "wide": Case((1, 3, 4, 600), (20, 3, 3, 3), {"padding": 1}),
    "long": Case((2, 5, 9000), (17, 5, 3), {"padding": 1}),
    "long_stride": Case((1, 1, 9001), (20, 1, 10), {"stride": 5}),
    "skipped_taps": Case((1, 20, 13, 15), (33, 20, 3, 3), {"padding": 6, "dilation": 6}),
    "skipped_depths": Case((1, 4, 3, 5, 6), (18, 4, 3, 3, 3), {"padding": (4, 3, 2), "dilation": (4, 3, 2)}),
    "distant_taps": Case((1, 7, 80, 9), (5, 7, 3, 2), {"dilation": (30, 4), "stride": (1, 3)}),
    "only_padding": Case((1, 3, 2, 2), (17, 3, 2, 2), {"padding": 40}),
    "stride_2_wide": Case((1, 4, 9, 333), (12, 4, 3, 3), {"stride": 2, "padding": 1}),
    "stride_2_to_the_end": Case((1, 2, 127), (3, 2, 1), {"stride": 2}),
    "stride_3_dilation_2": Case((1, 3, 30, 70), (9, 3, 3, 5), {"stride": 3, "dilation": 2, "padding": 4}),
    "four_per_group": Case((2, 32, 15, 13), (32, 4, 3, 3), {"groups": 8, "padding": 1}),
    "depthwise_5x5": Case((2, 19, 11, 14), (19, 1, 5, 5), {"groups": 19, "padding": 2}),
    "depthwise_small": Case((2, 40, 7, 7), (40, 1, 3, 3), {"groups": 40, "padding": 1}),
    # a vector is longer than the image of a channel, of which a task has many
    "depthwise_tiny": Case((1, 70, 2, 2), (70, 1, 3, 3), {"groups": 70, "padding": 1}),
    "depthwise_tiny_column": Case((1, 67, 3, 1), (67, 1, 3, 3), {"groups": 67, "padding": 1}),
    "depthwise_tiny_stride": Case((2, 66, 4, 4), (66, 1, 3, 3), {"groups": 66, "padding": 1, "stride": 2}),
    "depthwise_one_wide": Case((1, 1, 10, 300), (1, 1, 3, 3), {"padding": 1, "stride": 2}),
    "depthwise_stride": Case((1, 17, 23, 30), (17, 1, 3, 3), {"groups": 17, "padding": 1, "stride": 2}),
    "depthwise_stride_edge": Case((1, 3, 9, 28), (3, 1, 3, 3), {"groups": 3, "padding": 1, "stride": 2}),
    "depthwise_stride_outside": Case((1, 3, 60, 55), (3, 1, 3, 3), {"groups": 3, "padding": 1, "stride": 2}),
    "depthwise_31": Case((1, 9, 400), (9, 1, 31), {"groups": 9, "padding": 15}),
    "depthwise_dilated": Case((1, 9, 1000), (9, 1, 3), {"groups": 9, "padding": 64, "dilation": 64}),
    "grey_bank": Case((1, 1, 40, 50), (16, 1, 7, 7), {"padding": 3}),
    "grey_tall": Case((1, 1, 300, 20), (1, 1, 9, 5), {"padding": (4, 2)}),
}

# For the input gradient of strided convolutions: strides beyond the kernel, strides with and without a common divisor
# with the dilation, blocks of channels, of groups and of residues, rows longer than a band, a stride per axis.
STRIDED_CASES = {
    "blocks_of_channels": Case((1, 260, 9, 10), (20, 260, 3, 3), {"stride": 2, "padding": 1}),
    "whole_vectors": Case((1, 96, 12, 13), (20, 96, 3, 3), {"stride": 2, "padding": 1}),
    "whole_vectors_blocks": Case((1, 416, 6, 5), (3, 416, 2, 5), {"stride": 2, "padding": 1}),
    "whole_vectors_one_tap": Case((1, 160, 9, 9), (21, 160, 1, 1), {"stride": 2}),
    "whole_vectors_groups": Case((1, 64, 9, 9), (20, 32, 3, 3), {"groups": 2, "stride": 2}),
    "several_bands": Case((2, 70, 50, 49), (9, 70, 3, 3), {"stride": 2, "padding": 1}),
    "kernel_4": Case((1, 17, 40, 38), (5, 17, 4, 4), {"stride": 2, "padding": 1}),
    "kernel_7": Case((1, 3, 75, 74), (12, 3, 7, 7), {"stride": 2, "padding": 3}),
    "one_tap_blocks": Case((1, 300, 20, 21), (7, 300, 1, 1), {"stride": 2}),
    "long_row": Case((1, 40, 2500), (6, 40, 3), {"stride": 2}),
    "many_residues": Case((2, 1, 900), (5, 1, 100), {"stride": 40, "padding": 3}),
    "many_residues_unused": Case((1, 1, 2000), (5, 1, 70), {"stride": 100}),
    "many_residues_2d": Case((1, 2, 40, 300), (3, 2, 16, 70), {"stride": (16, 64)}),
    "stride_4": Case((1, 3, 30, 150), (4, 3, 6, 5), {"stride": 4, "padding": 2}),
    "stride_5": Case((1, 3, 30, 150), (4, 3, 3, 7), {"stride": (5, 3), "padding": 2}),
    "dilation_divides": Case((1, 6, 40, 41), (7, 6, 3, 5), {"stride": 4, "dilation": 2, "padding": 3}),
    "dilation_beyond_stride": Case((1, 6, 60, 61), (7, 6, 3, 5), {"stride": (3, 4), "dilation": (5, 6), "padding": 7}),
    "groups_stride": Case((2, 36, 21, 20), (24, 9, 3, 3), {"groups": 4, "stride": 2, "padding": 1}),
    "depthwise_stride_blocks": Case((1, 40, 60, 31), (40, 1, 3, 3), {"groups": 40, "stride": 2, "padding": 1}),
    "depthwise_row": Case((1, 9, 8, 200), (9, 1, 1, 9), {"groups": 9, "stride": 2, "padding": (0, 4)}),
    "depthwise_long": Case((1, 9, 3000), (9, 1, 31), {"groups": 9, "stride": 2, "padding": 15}),
    "padded_depth": Case((1, 1, 1, 2, 9), (2, 1, 1, 3, 3), {"stride": (1, 2, 2), "padding": ((1, 0), (1, 1), (1, 1))}),
    "stride_of_depth": Case((1, 5, 9, 8, 7), (6, 5, 3, 3, 3), {"stride": (3, 1, 2), "padding": 1}),
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
    "same_lower": Case((2, 3, 6, 5), (3, 4, 4, 3), {"padding": "same_lower"}),
    "same_lower_stride": Case((2, 3, 6, 5), (3, 4, 5, 4), {"padding": "same_lower", "stride": 2, "dilation": (2, 1)}),
    "same_output_size": Case(
        (1, 3, 6, 5), (3, 4, 5, 4), {"padding": "same", "stride": (4, 3), "output_size": (22, 13)}
    ),
    "same_lower_output_size": Case(
        (1, 3, 6, 5), (3, 4, 3, 4), {"padding": "same_lower", "stride": (2, 3), "output_size": (11, 14)}
    ),
    "valid": Case((1, 3, 6, 5), (3, 4, 3, 2), {"padding": "valid", "stride": 2}),
    "wrap": Case((2, 6, 5, 7), (6, 5, 4, 4), {"stride": 2, "padding": 1, "padding_mode": "wrap"}),
    "edge": Case((1, 3, 6, 7), (3, 4, 3, 4), {"padding": ((0, 3), (4, 1)), "padding_mode": "edge"}),
    "symmetric_same": Case(
        (1, 3, 5, 4), (3, 4, 5, 4), {"padding": "same", "stride": (2, 3), "padding_mode": "symmetric"}
    ),
    "reflect_output_size": Case(
        (1, 2, 9), (2, 3, 5), {"padding": 2, "stride": 3, "output_size": 27, "padding_mode": "reflect"}
    ),
    "reflect_repeatedly": Case((1, 2, 9, 8), (2, 3, 3, 3), {"padding": (5, 4), "padding_mode": "reflect"}),
    "wrap_output_padding": Case(
        (1, 2, 4, 5),
        (2, 3, 3, 2),
        {"padding": ((3, 0), (0, 0)), "dilation": 3, "output_padding": 2, "padding_mode": "wrap"},
    ),
    "reflect_cropped": Case((1, 2, 7, 8), (2, 3, 3, 3), {"padding": ((3, -2), (-1, 4)), "padding_mode": "reflect"}),
    "circular_3d": Case(
        (4, 3, 4, 3),
        (4, 3, 2, 3, 3),
        {"padding": (1, 2, 1), "stride": (1, 2, 2), "groups": 2, "padding_mode": "circular"},
    ),
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


# What a kernel computes: padding modes are made by padding the input beforehand.
ZERO_PADDED_CASES = {
    name: case for name, case in {**CASES, **KERNEL_CASES}.items() if "padding_mode" not in case.options
}


def spatial_options(case: Case) -> dict[str, Any]:
    """Return the options of a case that the patch matrix depends on."""
    return {name: value for name, value in case.options.items() if name not in ("groups", "flip")}


def geometry_options(case: Case) -> dict[str, Any]:
    """Return the options of a case that its geometry depends on."""
    return {name: value for name, value in case.options.items() if name not in ("flip", "padding_mode")}


def geometry_of(case: Case) -> Geometry:
    """Return the geometry of a case."""
    return Geometry.from_shapes(case.x, case.weight, **geometry_options(case))


def input_size(case: Case) -> tuple[int, ...]:
    """Return the spatial size of x."""
    return case.x[2 - len(case.weight) :]


def integers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    """Return small integers: every sum of their products is exact in float32 up to a million terms."""
    return _drawn_integers(tuple(shape), seed).astype(dtype)


@lru_cache(maxsize=64)
def _drawn_integers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Draw them once for all types and instruction sets."""
    return np.random.default_rng([seed, *shape]).integers(-4, 5, shape).astype(np.int8)


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


def gradient_arrays_of(case: Case, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, weight and the gradient of the output of a case as small integers."""
    out_shape = geometry_of(case).out_shape
    y_shape = out_shape if len(case.x) == len(case.weight) else out_shape[1:]
    return integers(case.x, dtype, 1), integer_weights(case.weight, dtype, 2), integers(y_shape, dtype, 3)
