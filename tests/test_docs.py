"""The examples in docstrings, in the README and in docs/ run and print what they say; links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import gemmconv
from gemmconv.explanation import EXAMPLES

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "src/gemmconv").rglob("[a-z]*.py"))
DOCUMENTS = [str(path.relative_to(ROOT)) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])]
# The pages with examples, and the least number of examples that each has.
PAGES_WITH_EXAMPLES = {
    "README.md": 6,
    "docs/usage.md": 43,
    "docs/coming_from.md": 9,
    "docs/explain.md": 6,
    "docs/gradients.md": 20,
    "docs/matrices.md": 17,
    "docs/tutorial.md": 150,
}
# A page of an example, which is made when the documentation site is built.
EXPLAINED = re.compile(r"_static/explain/(\w+)\.html")
MODULES = [".".join(path.relative_to(ROOT / "src").with_suffix("").parts) for path in PATHS]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert not failed


@pytest.mark.parametrize(("page", "least"), PAGES_WITH_EXAMPLES.items())
def test_pages(page, least):
    failed, attempted = doctest.testfile(str(ROOT / page), module_relative=False)
    assert attempted >= least
    assert not failed


def test_every_page_with_examples_is_tested():
    assert {page for page in DOCUMENTS if ">>> " in (ROOT / page).read_text()} == set(PAGES_WITH_EXAMPLES)


@pytest.mark.parametrize("name", [name for name in gemmconv.__all__ if name != "reference"])
def test_every_public_function_has_an_example_and_says_what_it_raises(name):
    text = inspect.getdoc(getattr(gemmconv, name))
    sections = {"get_num_threads": ("Returns", "Examples"), "ConvolutionOperator": ("Parameters", "Raises", "Examples")}
    sections["Plan"] = sections["Explanation"] = sections["ConvolutionOperator"]
    sections |= dict.fromkeys(("num_threads", "set_num_threads"), ("Parameters", "Raises", "Examples"))
    for section in sections.get(name, ("Parameters", "Returns", "Raises", "Examples")):
        assert re.search(rf"^{section}\n-+$", text, re.MULTILINE), f"{name} lacks {section}"
    assert "threads" in name or "cross-correlation" in " ".join(text.split("\n\n")[0:2])


def anchors_of(document: Path) -> set[str]:
    """Return the anchors that the headings of a document have on GitHub."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_in_the_documents_lead_somewhere(name):
    document = ROOT / name
    for path, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", document.read_text()):
        if made := EXPLAINED.fullmatch(path):
            assert made[1] in EXAMPLES, f"{name}: {path}"
            continue
        target = document.parent / path if path else document
        assert target.exists(), f"{name}: {path}"
        assert not anchor or anchor in anchors_of(target), f"{name}: {path}#{anchor}"


def test_map_of_the_tree():
    # every path that the map names is there, and every folder with files is in the map
    tree = re.search(r"```text\n(csrc/.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)[1]
    folder, named = Path(), set()
    for line in tree.splitlines():
        name = line.split()[0]
        if name.endswith("/") and not line.startswith(" "):
            folder = Path(name)
            assert (ROOT / folder).is_dir()
        else:
            assert (ROOT / folder / name).exists(), line
        if name.endswith("/"):
            named.add(folder if folder == Path(name) else folder / name)
    for top in ("csrc", "src/gemmconv", "bench"):
        files = [path.relative_to(ROOT) for path in (ROOT / top).rglob("*") if path.is_file()]
        assert {path.parent for path in files if "__pycache__" not in path.parts} <= named
