"""The documentation site: what it changes in the pages, what its check finds, and that no public name is missing.

`.ci/docs` builds the site and runs the check; here it runs on small sites with one mistake each.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import gemmconv

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def module(name: str) -> ModuleType:
    """Return a module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


site_source, check_site = module("site_source"), module("check_site")

REPOSITORY = "https://example.org/gemmconv"
# Text of a page, the folder of its file, and what the site makes of it without and with the address of the repository.
LINKS = [
    ("[a](matrices.md#functions)", "docs", "[a](matrices.md#functions)", None),
    ("[a](docs/matrices.md#functions)", "", "[a](matrices.md#functions)", None),
    ("[a](#below)", "docs", "[a](#below)", None),
    ("[a](https://example.org/x)", "docs", "[a](https://example.org/x)", None),
    ("[a](../README.md)", "docs", "[a](index.md)", None),
    ("[the tree](../CONTRIBUTING.md#the-tree)", "docs", "[the tree](contributing.md#the-tree)", None),
    ("[a](CHANGELOG.md)", "", "[a](changelog.md)", None),
    ("[a](src/gemmconv/reference)", "", "[a](api/reference.md)", None),
    ("[a](examples/deblur.py) [b](examples)", "", "[a](gallery/deblur.rst) [b](gallery/index.rst)", None),
    (
        "see [`fft.h`](../csrc/fft/fft.h).",
        "docs",
        "see `fft.h`.",
        f"see [`fft.h`]({REPOSITORY}/blob/main/csrc/fft/fft.h).",
    ),
    ("![a](docs/images/a.png)", "", "![a](images/a.png)", None),
    ("![a](../bench/results/a.svg)", "docs", "![a](../bench/results/a.svg)", None),
    ("[![a\nb](docs/images/a.png)](docs/explain.md)", "", "[![a\nb](images/a.png)](explain.md)", None),
    (
        "[![a](docs/images/a.png)](LICENSE)",
        "",
        "![a](images/a.png)",
        f"[![a](images/a.png)]({REPOSITORY}/blob/main/LICENSE)",
    ),
    ("a\n\n```python\nx[0](../README.md)\n\n```\n", "docs", "a\n\n```python\nx[0](../README.md)\n```\n", None),
]


@pytest.mark.parametrize(("text", "folder", "alone", "linked"), LINKS)
def test_links_of_the_pages(text, folder, alone, linked):
    assert site_source.rewritten(text, folder, "", None) == alone
    assert site_source.rewritten(text, folder, "", REPOSITORY) == (linked or alone)


def test_links_of_a_page_in_a_folder():
    text = "[a](reference.md) [b](../matrices.md) [c](../../README.md) ![d](../images/d.png)"
    expected = "[a](reference.md) [b](../matrices.md) [c](../index.md) ![d](../images/d.png)"
    assert site_source.rewritten(text, "docs/api", "api", None) == expected


def test_pages_of_explanations_are_shown_below_the_paragraph():
    text = "Open\n[the example `full`](_static/explain/full.html) here.\n\nNext."
    assert site_source.rewritten(text, "docs", "", None) == (
        'Open\n<a class="explained" href="_static/explain/full.html">the example `full`</a> here.\n\n'
        '<iframe class="explained" loading="lazy" title="gemmconv explain: the example full" '
        'src="_static/explain/full.html"></iframe>\n\n\nNext.'
    )


GOOD = (
    '<link rel="stylesheet" href="style.css?digest=1"><img src="a%20b.png" srcset="a%20b.png 2x, style.css">'
    '<a href="https://example.org">elsewhere</a><a href="#here" id="here">here</a><a href="b/other.html#there">x</a>'
    '<a href="mailto:a@example.org">write</a><iframe src="b/other.html"></iframe>'
)
# One mistake, and what the check says of it.
MISTAKES = [
    ('<script src="https://example.org/a.js"></script>', "index.html: loads https://example.org/a.js"),
    ('<script src="//example.org/a.js"></script>', "index.html: loads //example.org/a.js"),
    ('<link rel="stylesheet" href="http://example.org/a.css">', "index.html: loads http://example.org/a.css"),
    ('<img src="https://example.org/a.png">', "index.html: loads https://example.org/a.png"),
    ('<img srcset="style.css, https://example.org/a.png 2x">', "index.html: loads https://example.org/a.png"),
    ('<iframe src="https://example.org/"></iframe>', "index.html: loads https://example.org/"),
    ("<style>@import 'https://example.org/a.css'</style>", "index.html: loads https://example.org/a.css"),
    ('<p style="background: url(//example.org/a.png)">', "index.html: loads //example.org/a.png"),
    ('<a href="none.html">a</a>', "index.html: none.html leads nowhere"),
    ('<a href="#none">a</a>', "index.html: #none leads nowhere"),
    ('<a href="b/other.html#none">a</a>', "index.html: b/other.html#none leads nowhere"),
    ('<img src="none.png">', "index.html: none.png leads nowhere"),
]


def small_site(folder: Path, body: str) -> Path:
    """Write a site of two pages."""
    (folder / "b").mkdir()
    (folder / "style.css").write_text("p { background: url(a.png) }")
    (folder / "a b.png").touch()
    (folder / "index.html").write_text(body)
    (folder / "b/other.html").write_text('<p id="there"><a href="../index.html">back</a></p>')
    return folder


def test_nothing_is_wrong_with_a_good_site(tmp_path):
    assert check_site.mistakes(small_site(tmp_path, GOOD)) == []


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_the_check_of_the_site_finds(mistake, message, tmp_path):
    assert check_site.mistakes(small_site(tmp_path, GOOD + mistake)) == [message]


def test_the_check_of_the_site_reads_styles_and_needs_pages(tmp_path):
    assert check_site.mistakes(tmp_path) == [f"{tmp_path} has no pages"]
    small_site(tmp_path, GOOD)
    (tmp_path / "style.css").write_text("@font-face { src: url('https://example.org/font.woff') }")
    assert check_site.mistakes(tmp_path) == ["style.css: loads https://example.org/font.woff"]


def test_the_check_of_the_site_finds_names_without_a_page(tmp_path):
    (tmp_path / "api/generated").mkdir(parents=True)
    (tmp_path / "api/reference.html").write_text('<section id="module-gemmconv.reference">')
    for name in gemmconv.__all__:
        (tmp_path / f"api/generated/gemmconv.{name}.html").write_text(f'<dt id="gemmconv.{name}">')
    assert check_site.missing_names(tmp_path) == []
    (tmp_path / "api/generated/gemmconv.conv.html").unlink()
    (tmp_path / "api/generated/gemmconv.Plan.html").write_text("empty")
    assert check_site.missing_names(tmp_path) == ["gemmconv.Plan has no page", "gemmconv.conv has no page"]


def test_the_site_and_the_readme_list_every_public_name():
    listed = re.findall(r"^   (\w+)$", (DOCS / "api/index.md").read_text(), re.MULTILINE)
    assert sorted([*listed, "reference"]) == sorted(gemmconv.__all__)
    functions = (ROOT / "README.md").read_text().split("## Functions\n\n")[1].split("\n\n")[0]
    first_cells = " ".join(line.split("|")[1] for line in functions.splitlines())
    assert sorted(re.findall(r"\[`(\w+)`\]\(", first_cells)) == sorted(gemmconv.__all__)


def test_the_readme_is_short_and_its_picture_has_the_numbers_of_the_page():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
    table = (DOCS / "speed.md").read_text().split("## Networks")[1].split("\n\n")[2]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    one_thread = [row for row in rows if row[2] == "1"]
    expected = [f"{row[i + 1]} {row[i].partition('(')[2][:-1]}" for row in one_thread for i in (4, 7)]
    drawn = re.findall(r">(\d\.\d\dx [^<]*)</text>", (DOCS / "images/speed.svg").read_text())
    assert len(expected) == 16
    assert sorted(drawn) == sorted(expected)
    readme = (ROOT / "README.md").read_text().split("## How fast")[1].split("\n\n")[3]
    for row in (row for row in one_thread if row[1] == "AVX2"):
        assert f"| {row[0]} | {' | '.join(row[3:9])} |" in readme


def test_calls_of_other_libraries_in_the_readme_are_those_of_the_page():
    rows = re.findall(r"^\| \w+: (`.*?`) \| (`.*?`) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    page = (DOCS / "coming_from.md").read_text()
    assert len(rows) == 5
    for theirs, ours in rows:
        assert f"| {theirs} | {ours} |" in page
