"""What the site changes in the Markdown pages, so that the same files read well on a forge and on the site.

* A page that includes the README, or another file of the root, gets its text.
* A link to a file that the site has leads to its page. A link to any other file of the repository leads to the
  repository, if pyproject.toml says where it is; if not, the text of the link stays without the link.
* After the paragraph with a link to `_static/explain/NAME.html`, that page is shown. It is the page of
  `gemmconv explain --example NAME --html`, which is made here.
"""

from __future__ import annotations

import html
import os
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from gemmconv.explanation import example

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent

#: File or folder -> page of the site that shows it.
PAGES = {
    "README.md": "docs/index.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "CHANGELOG.md": "docs/changelog.md",
    "src/gemmconv/reference": "docs/api/reference.md",
}

_INCLUDE = re.compile(r"^```\{include\} \.\./(\w+\.md)\n```$", re.MULTILINE)
_FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\((?P<path>[^)#]*)(?P<anchor>#[^)]*)?\)"
)
_EXPLAINED = re.compile(r"_static/explain/(\w+)\.html")


def repository() -> str | None:
    """Return the address of the repository, without a slash at its end, if the project has one."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get("urls", {})
    found = {name.lower(): url for name, url in urls.items()}
    return next((found[name].rstrip("/") for name in ("repository", "source") if name in found), None)


def rewritten(text: str, folder: str, page: str, address: str | None) -> str:
    """Return the text of a page with the links of the site.

    Parameters
    ----------
    text : str
        Markdown.
    folder : str
        The folder of the file that the text comes from, relative to the root: the links begin there.
    page : str
        The folder of the page that shows the text, relative to docs/.
    address : str or None
        Where the repository is.

    Returns
    -------
    str
        Markdown.
    """

    def link(match: re.Match[str]) -> str:
        label, path, anchor = match["text"], match["path"], match["anchor"] or ""
        if not match["image"]:
            label = _LINK.sub(link, label)
        if not path or re.match(r"\w+:", path):
            return f"{match['image']}[{label}]({path}{anchor})"
        target = os.path.normpath(os.path.join(folder, path))
        if explained := _EXPLAINED.fullmatch(os.path.relpath(target, "docs")):
            return _link_to_explained(label, explained[0], page)
        shown = target if match["image"] else _page_of(target)
        if shown is not None:
            return f"{match['image']}[{label}]({os.path.relpath(shown, os.path.join('docs', page))}{anchor})"
        return label if address is None else f"[{label}]({address}/blob/main/{target}{anchor})"

    pieces = _FENCE.split(text)  # at odd places: blocks of code
    pieces[::2] = [_with_frames(_LINK.sub(link, piece)) for piece in pieces[::2]]
    pieces[1::2] = [re.sub(r"\n\n```$", "\n```", piece) for piece in pieces[1::2]]  # doctest needs that empty line
    return "".join(pieces)


def _page_of(target: str) -> str | None:
    """Return the file, relative to the root, of the page of the site that shows a file of the repository."""
    path = PurePosixPath(target)
    if target in PAGES:
        return PAGES[target]
    if path.parts[0] == "docs" and path.suffix == ".md":
        return target
    if path.parts[0] == "examples":
        return f"docs/gallery/{path.stem if path.suffix else 'index'}.rst"
    return None


def _link_to_explained(label: str, path: str, page: str) -> str:
    return f'<a class="explained" href="{os.path.relpath(path, page or ".")}">{html.escape(label)}</a>'


def _with_frames(text: str) -> str:
    """Return the text with each page of an explanation shown after the paragraph that links to it."""
    paragraphs = text.split("\n\n")
    for i, paragraph in enumerate(paragraphs):
        for path, label in re.findall(r'<a class="explained" href="([^"]*)">([^<]*)</a>', paragraph):
            title = f"gemmconv explain: {label.replace('`', '')}"
            paragraphs[i] += f'\n\n<iframe class="explained" loading="lazy" title="{title}" src="{path}"></iframe>\n'
    return "\n\n".join(paragraphs)


def read_source(app: Sphinx, page: str, source: list[str]) -> None:
    """Give Sphinx the text of a page."""
    if Path(app.env.doc2path(page)).suffix != ".md":
        return
    folder = os.path.dirname(page)
    text = rewritten(source[0], os.path.join("docs", folder), folder, repository())
    if included := _INCLUDE.search(text):
        file = ROOT / included[1]
        app.env.note_dependency(str(file))
        body = rewritten(file.read_text(), "", folder, repository())
        text = text[: included.start()] + body + text[included.end() :]
    source[0] = text


def write_explained(app: Sphinx, failure: Exception | None) -> None:
    """Write the pages of the explanations to which the pages of the site link."""
    if failure or app.builder.format != "html":
        return
    names = {name for page in DOCS.rglob("*.md") for name in _EXPLAINED.findall(page.read_text())}
    folder = Path(app.outdir) / "_static/explain"
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(names):
        (folder / f"{name}.html").write_text(example(name).html(name=name), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", read_source)
    app.connect("build-finished", write_explained)
    return {"parallel_read_safe": True}
