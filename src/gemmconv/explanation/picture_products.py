"""The panels K, P and Y of the picture, in Falk's arrangement: a row of K and a column of P meet in their product.

            P            X, the input of a transposed convolution
        K   Y      K.T   C = K.T @ X

`Product` chooses what is shown of them. Only that is worked out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .grids import Shown, choose, indices, left_out
from .sheet import LABEL, PADDING, TITLE, WEIGHT, Label, Picture, Sheet, Size, Tile, Track, around, letters_of
from .text_matrices import MOST_TAPS_SHOWN, MOST_TERMS_OF_Y, row_of_columns, tap_label
from .view import View, ravel, unravel

Tiles = dict[tuple[int, int], Tile]
# The largest matrix whose cells have texts, and the largest that is shown whole, without texts.
MOST_TEXTS = 60, 80
MOST_CELLS = 512
# The largest text in a cell.
LARGEST = 7.5
# Between K and P, and between P and Y.
BETWEEN = 6.0


@dataclass
class Product:
    """The three matrices: `left` times `above` is `meeting`. The columns of `left` are the rows of `above`."""

    left: Sheet
    above: Sheet
    meeting: Sheet
    corner: tuple[float, float]
    """The size of the empty corner above `left`."""

    @property
    def width(self) -> float:
        """The width of all three."""
        return self.corner[0] + BETWEEN + max(self.above.width, self.meeting.width)

    @property
    def height(self) -> float:
        """The height of all three."""
        return self.corner[1] + BETWEEN + max(self.left.height, self.meeting.height)


def product_shape(view: View) -> tuple[int, int, int]:
    """Return how many rows the left matrix has, how many it shares with the one above, and the columns of that."""
    kernels, rows, columns = view.facts.problem.weight.shape[0], view.counts.patch_rows, view.counts.patch_columns
    return (rows, kernels, columns) if view.facts.problem.transposed else (kernels, rows, columns)


def is_shown(view: View) -> bool:
    """Return whether the columns of P are short enough to be shown."""
    return view.facts.taps <= MOST_TAPS_SHOWN and view.has_terms


def product_of(view: View, room: tuple[float, float], font: float = LARGEST) -> Product:
    """Return the three matrices, as much of them as fits into a width and a height; `font` is the largest text."""
    outer, inner, columns = product_shape(view)
    has_texts = max(outer, inner) <= MOST_TEXTS[0] and columns <= MOST_TEXTS[1]
    if not has_texts and max(outer, inner, columns) <= MOST_CELLS:
        return _without_texts(view, room)
    most = (outer, inner, columns)
    if not has_texts:
        most = (min(outer, 6), min(inner, 18), min(columns, 40))
    while True:
        product = _with_texts(view, most, font)
        if product.width <= room[0] and product.height <= room[1]:
            return product
        if font > 5.5:
            font -= 0.5
            continue
        fewer = _fewer(most, product.height > room[1])
        if fewer == most:
            return product
        most = fewer


def _fewer(most: tuple[int, int, int], too_high: bool) -> tuple[int, int, int]:
    """Return how many rows and columns to try next: first fewer columns of P, then fewer of K."""
    outer, inner, columns = most
    if too_high and (outer > 3 or inner > 6):
        return max(outer - 2, min(outer, 3)), max(inner - 4, min(inner, 6)), columns
    if columns > 12 or (inner <= 6 and columns > 3):
        return outer, inner, max(columns - 3, 3)
    return outer, max(inner - 2, min(inner, 3)), columns


def _with_texts(view: View, most: tuple[int, int, int], font: float) -> Product:
    """Return the matrices with at most some rows of the left one, columns of it, and columns of the other one."""
    chosen = _chosen(view, most)
    left, above, meeting = (make(view, *chosen) for make in TILES[view.facts.problem.transposed])
    narrow = Size.of_text(letters_of(left), font)
    wide = Size.of_text(max(letters_of(above), letters_of(meeting)), font)
    inner = 1 if view.facts.problem.transposed else view.facts.taps
    outer = view.facts.taps if view.facts.problem.transposed else 1
    steps = (outer if outer > 1 else 0), (inner if inner > 1 else 0)
    return _placed(
        view,
        (left, above, meeting),
        (Track(chosen[0], wide.height, steps[0]), Track(chosen[1], narrow.width, steps[1])),
        (Track(chosen[1], wide.height, steps[1]), Track(chosen[2], wide.width)),
        (narrow, wide),
    )


def _chosen(view: View, most: tuple[int, int, int]) -> tuple[Shown, Shown, Shown]:
    """Return which rows of the left matrix, which columns of it, and which columns of the other one are shown."""
    facts, problem = view.facts, view.facts.problem
    outer, inner, columns = product_shape(view)
    channels = view.window.channels
    if problem.transposed:
        kept = [at for at, _ in _added(view)]
        return choose(outer, kept, most[0]), choose(inner, [channels[0]], most[1]), _columns_added(view, most[2])
    kept = [channels[0] * facts.taps, (channels[-1] + 1) * facts.taps - 1] if problem.geometry.groups > 1 else []
    position = ravel(view.at[1:], problem.y_shape[1:])
    return (
        choose(outer, [view.at[0]], most[0]),
        choose(inner, kept, most[1], fill=True),
        around(columns, [position], most[2]),
    )


def _columns_added(view: View, most: int) -> Shown:
    return around(view.counts.patch_columns, {column for _, column in _added(view)}, most)


def _added(view: View) -> list[tuple[int, int]]:
    """Return the entries of C that are added up to the output of a transposed convolution."""
    facts = view.facts
    outputs, taps = facts.entries.column(ravel(view.at[1:], facts.problem.y_shape[1:]))
    return [(view.at[0] * facts.taps + int(tap), int(output)) for tap, output in zip(taps, outputs)]


def _kernel_tiles(view: View, outer: Shown, inner: Shown, _columns: Shown) -> Tiles:
    """Return the cells of K; for a transposed convolution, those of K.T."""
    facts, problem = view.facts, view.facts.problem
    tiles = {}
    for row in indices(outer):
        for column in indices(inner):
            kernel, at = (column, row) if problem.transposed else (row, column)
            first = kernel // facts.group_outputs * facts.group_channels
            channel, tap = divmod(at, facts.taps)
            if not first <= channel < first + facts.group_channels:
                continue
            weight = int(facts.weight_of(kernel, channel - first, tap))
            text = view.number(float(problem.weight.at(np.array([weight]))[0]))
            marked = WEIGHT if view.backward and unravel(weight, problem.weight.shape) == view.weight_at else ""
            selected = not problem.transposed and kernel == view.at[0]
            tiles[row, column] = Tile(text, view.tap_of(weight), selected, "", marked)
    return tiles


def _patch_tiles(view: View, _outer: Shown, inner: Shown, columns: Shown) -> Tiles:
    """Return the cells of P. A column of it holds what the outputs of that position read, group by group."""
    facts, problem = view.facts, view.facts.problem
    per_group = facts.group_channels * facts.taps
    rows = indices(inner)
    groups = sorted({row // per_group for row in rows})
    position, seen = ravel(view.at[1:], problem.y_shape[1:]), view.window.channels
    tiles = {}
    for column in indices(columns):
        place = unravel(column, problem.y_shape[1:])
        terms = {group: facts.terms((group * facts.group_outputs, *place)) for group in groups}
        for row in rows:
            group, at = divmod(row, per_group)
            hatch = PADDING if terms[group].inputs[at] < 0 else ""
            tap = view.tap_of(int(terms[group].weights[at]))
            selected = column == position and row // facts.taps in seen
            tiles[row, column] = Tile(view.number(terms[group].values[at]), tap, selected, hatch)
    return tiles


def _output_tiles(view: View, outer: Shown, _inner: Shown, columns: Shown) -> Tiles:
    """Return the cells of Y, without texts if they take too long to compute."""
    facts, shape = view.facts, view.facts.problem.y_shape
    computed = facts.y is not None or facts.problem.geometry.reduction_length <= MOST_TERMS_OF_Y
    tiles = {}
    for row in indices(outer):
        for column in indices(columns):
            at = (row, *unravel(column, shape[1:]))
            text = view.number(facts.value(at)) if computed or at == view.at else ""
            tiles[row, column] = Tile(text, None, at == view.at)
    return tiles


def _input_tiles(view: View, _outer: Shown, inner: Shown, columns: Shown) -> Tiles:
    """Return the cells of X, the input of a transposed convolution with one row per channel."""
    x, pixels = view.facts.problem.x, view.facts.pixels
    read = set(view.terms.inputs.tolist())
    places = [(row, column) for row in indices(inner) for column in indices(columns)]
    flat = np.array([row * pixels + column for row, column in places])
    return {
        place: Tile(view.number(value), None, at in read) for place, at, value in zip(places, flat.tolist(), x.at(flat))
    }


def _column_tiles(view: View, outer: Shown, _inner: Shown, columns: Shown) -> Tiles:
    """Return the cells of C = K.T @ X; those are selected that are added up to the output."""
    taps, added = view.facts.taps, set(_added(view))
    tiles = {}
    for row in indices(outer):
        values = row_of_columns(view, row, np.array(indices(columns)))
        for column, value in zip(indices(columns), values):
            tiles[row, column] = Tile(view.number(value), row % taps, (row, column) in added)
    return tiles


# What fills the left matrix, the one above, and their product; for a convolution and for a transposed one.
TILES: dict[bool, tuple[Callable[[View, Shown, Shown, Shown], Tiles], ...]] = {
    False: (_kernel_tiles, _patch_tiles, _output_tiles),
    True: (_kernel_tiles, _input_tiles, _column_tiles),
}


def _titles(view: View) -> tuple[str, str, str]:
    outer, inner, columns = product_shape(view)
    names = ("K.T", "X", "C") if view.facts.problem.transposed else ("K", "P", "Y")
    shapes = (outer, inner), (inner, columns), (outer, columns)
    return tuple(f"{name} {shape}" for name, shape in zip(names, shapes))  # type: ignore[return-value]


def _placed(
    view: View,
    tiles: tuple[Tiles, Tiles, Tiles],
    left_tracks: tuple[Track, Track],
    above_tracks: tuple[Track, Track],
    sizes: tuple[Size, Size],
) -> Product:
    """Return the three sheets of matrices whose cells have texts."""
    transposed = view.facts.problem.transposed
    titles = _titles(view)
    narrow, wide = sizes
    narrow = narrow._replace(height=wide.height)
    left, above, meeting = (Sheet(name) for name in ("K", "P", "Y"))
    width = max(left_tracks[1].length, _title_width(titles[0]))
    begin = width - left_tracks[1].length
    name = _named("K", swapped=transposed)
    left.grid(tiles[0], left_tracks, narrow, (begin, 0), name)
    _title_below(left, titles[0], width, "right")
    names = ("X", "C") if transposed else ("P", "Y")
    top = above.head(titles[1])
    above.grid(tiles[1], above_tracks, wide, (0, top), _named(names[0]))
    meeting.grid(tiles[2], (left_tracks[0], above_tracks[1]), wide, (0, 0), _named(names[1]))
    _row_labels(
        view,
        above if not transposed else meeting,
        above_tracks if not transposed else (left_tracks[0], above_tracks[1]),
        wide.height,
        0.0 if transposed else top,
    )
    _title_below(meeting, titles[2], 0, "left")
    gap = left_out(above_tracks[1].shown)
    if gap:
        runs = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in above_tracks[1].runs)
        meeting.label(Label(0, meeting.height + LABEL, f"columns {runs}"))
    return Product(left, above, meeting, (left.width, above.height))


def _named(name: str, swapped: bool = False) -> Callable[[int, int], str]:
    return lambda row, column: f"{name}-{column}-{row}" if swapped else f"{name}-{row}-{column}"


def _title_width(title: str) -> float:
    return len(title) * TITLE * 0.68


def _title_below(sheet: Sheet, title: str, x: float, align: str) -> None:
    sheet.label(Label(x, sheet.height + TITLE, title, TITLE, align, bold=True, fixed=False, remark=False))


def _row_labels(view: View, sheet: Sheet, tracks: tuple[Track, Track], height: float, top: float) -> None:
    """Write the channel and the tap of each row beside it."""
    rows, columns = tracks
    for row, begin in rows.begins.items():
        sheet.label(Label(columns.length + 4, top + begin + height / 2, tap_label(view, row)))


def _without_texts(view: View, room: tuple[float, float]) -> Product:
    """Return the three matrices whole, as cells without texts."""
    facts, transposed = view.facts, view.facts.problem.transposed
    outer, inner, columns = product_shape(view)
    titles = _titles(view)
    title = max(map(_title_width, titles))
    width = min((room[0] - BETWEEN - title) / (inner + columns), 7.0)
    height = min((min(room[1], 240.0) - 40) / (outer + inner), 7.0)
    kernels, taps, group = np.arange(facts.problem.weight.shape[0]), facts.taps, facts.group_channels
    rows = np.arange(view.counts.patch_rows)
    first = kernels // facts.group_outputs * group
    connected = (rows // taps >= first[:, np.newaxis]) & (rows // taps < first[:, np.newaxis] + group)
    tap_of_row = facts.weight_of(0, 0, rows % taps) % taps
    K = np.where(connected, tap_of_row, -1)
    if transposed:
        added = np.zeros((outer, columns), bool)
        for row, column in _added(view):
            added[row, column] = True
        read = np.zeros(inner * columns, bool)
        read[view.terms.inputs] = True
        parts = (
            (K.T, np.zeros(K.T.shape, bool)),
            (np.full((inner, columns), -1), read.reshape(inner, columns)),
            (np.broadcast_to((rows % taps)[:, np.newaxis], added.shape), added),
        )
    else:
        position = ravel(view.at[1:], facts.problem.y_shape[1:])
        here = np.arange(columns) == position
        reads = np.stack([facts.entries.row(column) for column in range(columns)], axis=1)[rows % taps]
        seen = np.isin(rows // taps, view.window.channels)
        mine = kernels == view.at[0]
        parts = (
            (K, np.broadcast_to(mine[:, np.newaxis], K.shape) & connected),
            (np.where(reads < 0, -1, tap_of_row[:, np.newaxis]), seen[:, np.newaxis] & here),
            (np.full((outer, columns), -1), mine[:, np.newaxis] & here),
        )
    names = ("K.T", "X", "C") if transposed else ("K", "P", "Y")
    left, above, meeting = (Sheet(name) for name in ("K", "P", "Y"))
    size = max(inner * width, title), inner * width
    top = above.head(titles[1])
    left.pictures.append(_picture(names[0], parts[0], (size[0] - size[1], 0), (size[1], outer * height)))
    left.grow(size[0], outer * height)
    above.pictures.append(_picture(names[1], parts[1], (0, top), (columns * width, inner * height)))
    above.grow(columns * width, top + inner * height)
    meeting.pictures.append(_picture(names[2], parts[2], (0, 0), (columns * width, outer * height)))
    meeting.grow(columns * width, outer * height)
    _title_below(left, titles[0], size[0], "right")
    _title_below(meeting, titles[2], 0, "left")
    return Product(left, above, meeting, (left.width, above.height))


def _picture(
    name: str,
    part: tuple[NDArray[np.int64], NDArray[np.bool_]],
    at: tuple[float, float],
    size: tuple[float, float],
) -> Picture:
    return Picture(*at, *size, part[0].astype(np.int16), np.asarray(part[1], bool), name)
