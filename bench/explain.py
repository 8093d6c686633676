"""Times ``gemmconv explain``: ``python -m gemmconv.bench.explain``.

* the command on every named example, and which share of it is the text;
* layers that are too large to compute: time and memory;
* the page in Chromium, where Playwright and Chromium are installed: load, a selection, a changed control.

The table has the number to reach beside each measured one. Numbers are looked at; nothing fails for being slow.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import gemmconv
from gemmconv.explanation import EXAMPLES, Explanation, example

from .terminal import Cell, Table, show_table

# Layers too large to compute, or to build their matrices: the words of the command, and the limits in s and MB.
LARGE = {
    "3x224x224, 64 kernels 7x7": (
        ("--x", "3x224x224", "--weight", "64x3x7x7", "--stride", "2", "--padding", "3"),
        1,
        150,
    ),
    "1000x1000x1000, sizes and counts": (
        ("--x", "3x1000x1000x1000", "--weight", "8x3x3x3x3", "--padding", "1", "--show", "size,counts"),
        1,
        None,
    ),
    "a sequence of 10**9, reflect": (
        ("--x", "1x1000000000", "--weight", "1x1x3", "--padding", "5", "--padding-mode", "reflect"),
        1,
        None,
    ),
}
# A page with about as many cells as it draws one by one.
CELLS = "24x24, kernel 3x3"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The limits of the page in ms: of a named example, and of one with many cells.
LOAD, SELECT, CHANGE = (250, None), (16, 50), (50, 200)

# It promises the time at which the first panel has been drawn.
WATCH = """
window.firstPicture = new Promise(done => new MutationObserver((_, observer) => {
  if (!document.querySelector("svg")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => done(performance.now())));
}).observe(document, {childList: true, subtree: true}));
"""
# They do something once, with the layout that follows, and return how long it took.
SELECTION = """number => {
  const size = document.querySelectorAll('#y [data-kind="output"]').length || 1, begin = performance.now();
  page.set({selection: {kind: "output", at: number % size}});
  document.body.getBoundingClientRect();
  return performance.now() - begin;
}"""
CHANGED = """number => {
  const problem = page.state.problem, begin = performance.now();
  page.set({problem: {...problem, stride: problem.stride.map(() => 1 + number % 2)}});
  document.body.getBoundingClientRect();
  return performance.now() - begin;
}"""


class Measured(NamedTuple):
    """One number, and the one to reach."""

    what: str
    value: float
    unit: str
    goal: float | None


def median(function: Callable[[], object], rounds: int) -> float:
    """Return the median time of a call in seconds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def run_command(*words: str) -> None:
    """Run the command in a process of its own, and throw away what it prints."""
    subprocess.run([sys.executable, "-m", "gemmconv", "explain", *words], stdout=subprocess.DEVNULL, check=True)


def measure_examples(names: Sequence[str], rounds: int) -> Iterator[Measured]:
    """Yield the time of the command and of the text, for each example."""
    run_command()  # so that files are in memory
    for name in names:
        seconds = median(lambda name=name: run_command("--example", name), rounds)  # type: ignore[misc]
        yield Measured(f"command, {name}", seconds, "s", 0.35)
        explanations = iter([example(name) for _ in range(rounds + 1)])
        next(explanations).text()
        yield Measured(f"text, {name}", 1e3 * median(lambda e=explanations: next(e).text(), rounds), "ms", 5)  # type: ignore[misc]


def measure_large(rounds: int) -> Iterator[Measured]:
    """Yield the time and the largest memory of the command, for each large layer."""
    for name, (words, seconds, megabytes) in LARGE.items():
        yield Measured(f"command, {name}", median(lambda words=words: run_command(*words), rounds), "s", seconds)  # type: ignore[misc]
        yield Measured(f"memory, {name}", largest_memory(words) / 1e6, "MB", megabytes)


def largest_memory(words: Sequence[str]) -> int:
    """Return the most bytes that the command held."""
    code = (
        "import resource, sys; from gemmconv import cli; cli.main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "explain", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stderr) * (1 if sys.platform == "darwin" else 1024)


def browser() -> str | None:
    """Return the path of Chromium, or None if it or Playwright is missing."""
    if importlib.util.find_spec("playwright") is None:
        return None
    return os.environ.get("GEMMCONV_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def measure_pages(names: Sequence[str], rounds: int, path: str) -> Iterator[Measured]:
    """Yield the size and the times of the page, for each example and for one with many cells."""
    from playwright.sync_api import sync_playwright

    explanations: dict[str, Explanation] = {name: example(name) for name in names}
    explanations[CELLS] = gemmconv.explain(
        np.arange(1.0, 577).reshape(1, 24, 24), np.arange(1.0, 10).reshape(1, 1, 3, 3)
    )
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, explanation in explanations.items():
            file = Path(folder) / "page.html"
            explanation.html(file)
            yield Measured(f"page, {name}", file.stat().st_size / 1e3, "kB", 60)
            yield from measure_page(chromium, file.as_uri(), name, rounds)
        chromium.close()


def measure_page(chromium: Any, address: str, name: str, rounds: int) -> Iterator[Measured]:
    """Yield the times of one page."""
    loads, many = [], name == CELLS
    for _ in range(rounds):
        page = chromium.new_page()
        page.add_init_script(WATCH)
        page.goto(address)
        loads.append(page.evaluate("window.firstPicture"))
        if len(loads) < rounds:
            page.close()
    yield Measured(f"load, {name}", statistics.median(loads), "ms", LOAD[many])
    for what, script, goals in (("selection", SELECTION, SELECT), ("control", CHANGED, CHANGE)):
        times = [page.evaluate(script, number) for number in range(1, rounds + 1)]
        yield Measured(f"{what}, {name}", statistics.median(times), "ms", goals[many])
    page.close()


def as_table(numbers: Sequence[Measured]) -> Table:
    """Return the numbers as a table; those that miss their goal are marked."""
    rows = []
    for what, value, unit, goal in numbers:
        misses = goal is not None and value > goal
        reach = "" if goal is None else f"{goal:g} {unit}"
        texts = (what, f"{value:.3g} {unit}", reach, "too much" if misses else "")
        rows.append([Cell(text, "red" if misses else "") for text in texts])
    return Table(f"gemmconv explain, {gemmconv.__version__}", ["what", "median", "to reach", ""], rows)


def measure(names: Sequence[str], rounds: int, *, large: bool, page: bool) -> Iterator[Measured]:
    """Yield all numbers that are asked for."""
    yield from measure_examples(names, rounds)
    if large:
        yield from measure_large(max(rounds // 4, 1))
    if page:
        path = browser()
        if path is None:
            print("the page is not measured: Playwright or Chromium is missing", file=sys.stderr)
        else:
            yield from measure_pages(names, rounds, path)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m gemmconv.bench.explain", description="Times gemmconv explain.")
    parser.add_argument("--example", choices=EXAMPLES, action="append", help="only this example; may be repeated")
    parser.add_argument("--rounds", type=int, default=20, help="the number of times of which the median is taken")
    parser.add_argument("--no-large", action="store_true", help="leave out the large layers")
    parser.add_argument("--no-page", action="store_true", help="leave out the page")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(words)
    names = options.example or list(EXAMPLES)
    numbers = list(measure(names, options.rounds, large=not options.no_large, page=not options.no_page))
    if options.json:
        print(json.dumps([number._asdict() for number in numbers], indent=1))
    else:
        show_table(as_table(numbers), sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
