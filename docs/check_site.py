"""Check a built site: it loads nothing from other hosts, its links lead somewhere, and every public name has a page.

    python docs/check_site.py build/docs

It prints one line for each mistake, and ends with exit code 1 if there is one.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import gemmconv

#: Tag -> the attributes that make a browser load something.
LOADED = {
    "audio": ["src"],
    "embed": ["src"],
    "iframe": ["src"],
    "image": ["href", "xlink:href"],
    "img": ["src", "srcset"],
    "link": ["href"],
    "object": ["data"],
    "script": ["src"],
    "source": ["src", "srcset"],
    "use": ["href", "xlink:href"],
    "video": ["src", "poster"],
}
#: A template that the theme leaves among its files; it is no page.
TEMPLATE = "webpack-macros.html"
_FOREIGN = re.compile(r"(?:https?:)?//")
_LOADED_BY_CSS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]*)""")


class Page(HTMLParser):
    """What one page loads, where it links to, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.styles = _LOADED_BY_CSS.findall(text)
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of one element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        for name in LOADED.get(tag, []):
            if name in values:
                # srcset is a list: an address and a size, and then a comma
                urls = values[name].split(",") if name == "srcset" else [values[name]]
                self.loads += [url.split()[0] for url in urls if url.strip()]
        if tag == "a" and "href" in values:
            self.links.append(values["href"])


def mistakes(site: Path) -> list[str]:
    """Return what is wrong with the site in a folder, one line each."""
    paths = [path.resolve() for path in sorted(site.rglob("*.html")) if path.name != TEMPLATE]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    found = [] if pages else [f"{site} has no pages"]
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        foreign = [url for url in page.loads if _FOREIGN.match(url)] + page.styles
        found += [f"{name}: loads {url}" for url in foreign]
        inside = [url for url in page.loads + page.links if not urlsplit(url).scheme and not _FOREIGN.match(url)]
        found += [f"{name}: {url} leads nowhere" for url in inside if not _leads_somewhere(url, path, pages)]
    for path in sorted(site.rglob("*.css")):
        urls = _LOADED_BY_CSS.findall(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: loads {url}" for url in urls]
    return found


def missing_names(site: Path) -> list[str]:
    """Return the public names that have no page of their own, one line each."""
    pages = {name: site / f"api/generated/gemmconv.{name}.html" for name in gemmconv.__all__ if name != "reference"}
    pages["reference"] = site / "api/reference.html"
    return [
        f"gemmconv.{name} has no page"
        for name, page in pages.items()
        if not page.is_file()
        or f'id="{"module-" if name == "reference" else ""}gemmconv.{name}"' not in page.read_text()
    ]


def _leads_somewhere(url: str, path: Path, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(url)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not parts.fragment or target not in pages:
        return target.is_file()
    return unquote(parts.fragment) in pages[target].anchors


def main() -> int:
    """Check the site that the command line names."""
    site = Path(sys.argv[1])
    found = mistakes(site) + missing_names(site)
    print("\n".join(found) or "site: all is well")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
