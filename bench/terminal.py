"""Tables and progress: by rich where it is installed and on a terminal, else as plain text.

Nothing else imports rich. rich itself obeys NO_COLOR.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TextIO

#: Told how many steps are done and what is done next.
Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Cell:
    """A text, and its style where there are colours."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column is text and whose others are numbers; each header has one or two lines."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    footer: Sequence[Sequence[Cell]] = field(default=())


def _has_rich(stream: TextIO) -> bool:
    """Whether to use rich on this stream."""
    return stream.isatty() and importlib.util.find_spec("rich") is not None


def show_table(table: Table, stream: TextIO) -> None:
    """Print a table."""
    (_show_rich_table if _has_rich(stream) else _show_plain_table)(table, stream)


def _show_plain_table(table: Table, stream: TextIO) -> None:
    """Columns as wide as their widest cell, two spaces between them."""
    headers = [header.split("\n") for header in table.headers]
    lines = [list(line) for line in zip(*headers)]
    lines += [[cell.text for cell in row] for row in (*table.rows, *table.footer)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    print(table.title, file=stream)
    for first, *rest in lines:
        texts = [text.rjust(width) for text, width in zip(rest, widths[1:])]
        print("  ".join([first.ljust(widths[0]), *texts]).rstrip(), file=stream)


def _show_rich_table(table: Table, stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    title = Text(table.title, style="bold")
    drawn = RichTable(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for column, header in enumerate(table.headers):
        drawn.add_column(Text(header), justify="right" if column else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell.text, style=cell.style) for cell in row))
    for row in table.footer:
        drawn.add_row(*(Text(cell.text, style=cell.style) for cell in row), style="bold")
    Console(file=stream).print(drawn)


def show_progress(total: int, stream: TextIO) -> contextlib.AbstractContextManager[Progress]:
    """Show progress while the ``with`` block runs, which calls what it gets before each of `total` steps."""
    return (_show_rich_progress if _has_rich(stream) else _show_plain_progress)(total, stream)


@contextlib.contextmanager
def _show_plain_progress(total: int, stream: TextIO) -> Iterator[Progress]:
    def tell(done: int, text: str) -> None:
        print(f"[{done}/{total}] {text}", file=stream, flush=True)

    yield tell


@contextlib.contextmanager
def _show_rich_progress(total: int, stream: TextIO) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    # Drawn between measurements only: a thread that redraws would take cycles from the measured.
    bar = RichProgress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(file=stream),
        auto_refresh=False,
        transient=True,
    )
    task = bar.add_task("", total=total)

    def tell(done: int, text: str) -> None:
        bar.update(task, completed=done, description=text, refresh=True)

    with bar:
        yield tell
