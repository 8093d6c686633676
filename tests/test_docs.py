"""The examples in docstrings and in the README run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import gemmconv

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "src/gemmconv").rglob("[a-z]*.py"))
MODULES = [".".join(path.relative_to(ROOT / "src").with_suffix("").parts) for path in PATHS]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert not failed


def test_readme():
    failed, attempted = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert attempted > 5
    assert not failed


@pytest.mark.parametrize("name", [name for name in gemmconv.__all__ if name != "reference"])
def test_every_public_function_has_an_example_and_says_what_it_raises(name):
    text = inspect.getdoc(getattr(gemmconv, name))
    sections = {"get_num_threads": ("Returns", "Examples"), "ConvolutionOperator": ("Parameters", "Raises", "Examples")}
    sections["Plan"] = sections["ConvolutionOperator"]
    sections |= dict.fromkeys(("num_threads", "set_num_threads"), ("Parameters", "Raises", "Examples"))
    for section in sections.get(name, ("Parameters", "Returns", "Raises", "Examples")):
        assert re.search(rf"^{section}\n-+$", text, re.MULTILINE), f"{name} lacks {section}"
    assert "threads" in name or "cross-correlation" in " ".join(text.split("\n\n")[0:2])


def test_links_in_the_documents_lead_somewhere():
    for document in ROOT.glob("*.md"):
        for link in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text()):
            assert (ROOT / link).exists(), f"{document.name}: {link}"


def test_map_of_the_tree_in_the_readme():
    # every path that the map names is there
    tree = re.search(r"```text\n(csrc/.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    folder = Path()
    for line in tree.splitlines():
        name = line.split()[0]
        if name.endswith("/") and not line.startswith(" "):
            folder = Path(name)
            assert (ROOT / folder).is_dir()
        else:
            assert (ROOT / folder / name).exists(), line
