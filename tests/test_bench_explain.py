"""The benchmark of `gemmconv explain` runs; the numbers are not looked at."""

from __future__ import annotations

import json

from gemmconv.bench import explain as bench
from gemmconv.bench.explain import Measured, as_table, main, measure_page
from gemmconv.explanation import example


def test_it_measures_the_command_and_the_text(capsys):
    assert main(["--example", "small", "--rounds", "1", "--no-large", "--no-page", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert [number["what"] for number in numbers] == ["command, small", "text, small"]
    assert all(number["value"] > 0 for number in numbers)


def test_it_measures_memory(monkeypatch):
    monkeypatch.setattr(bench, "LARGE", {"few": (("--x", "1x3", "--weight", "1x1x2"), 1, None)})
    time, memory = bench.measure_large(1)
    assert time.value > 0
    assert 10 < memory.value < 1000


def test_it_marks_what_is_too_much():
    rows = as_table([Measured("a", 2.0, "s", 1), Measured("b", 0.5, "s", 1), Measured("c", 5.0, "s", None)]).rows
    assert [[cell.text for cell in row] for row in rows] == [
        ["a", "2 s", "1 s", "too much"],
        ["b", "0.5 s", "1 s", ""],
        ["c", "5 s", "", ""],
    ]


def test_it_measures_the_page(chromium, tmp_path):
    file = tmp_path / "small.html"
    file.write_text(example("small").html())
    numbers = list(measure_page(chromium, file.as_uri(), "small", 1))
    assert [number.what for number in numbers] == ["load, small", "selection, small", "control, small"]
    assert all(number.value > 0 for number in numbers)
