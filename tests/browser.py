"""Chromium for the tests of the page: started once a session, with every request but the page's own file aborted.

Playwright drives a Chromium that is installed, `GEMMCONV_CHROMIUM` or the first of `EXECUTABLES`. Where one of the two
is missing the tests are skipped, and with GEMMCONV_CI they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")


class Opened(NamedTuple):
    """A page, and what it did that it should not do."""

    page: Any
    """The page of Playwright."""
    requests: list[str]
    """The requests for anything but its own file; all were aborted."""
    errors: list[str]
    """The errors and warnings of the console, exceptions that nobody caught, and violations of the policy."""

    def check(self) -> None:
        """Assert that the page asked for nothing and had no error."""
        if not self.page.is_closed():
            self.page.evaluate("0")  # the answer comes after what the page did before
        assert self.requests == []
        assert self.errors == []


def missing() -> str:
    """Return why there is no browser, or an empty string."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "Playwright is not installed: pip install 'gemmconv[browser]'"
    return "" if executable() else "Chromium is not installed: apt-get install --no-install-recommends chromium"


def executable() -> str | None:
    """Return the path of Chromium."""
    given = os.environ.get("GEMMCONV_CHROMIUM")
    return given or next(filter(None, map(shutil.which, EXECUTABLES)), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Return the browser of Playwright, which all tests of a session share."""
    why = missing()
    if why:
        (pytest.fail if os.environ.get("GEMMCONV_CI") else pytest.skip)(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=executable(), args=arguments)
        yield browser
        browser.close()


def opened(browser: Any, file: Path, fragment: str = "", **context: Any) -> Opened:
    """Open a file in a new context, for example with viewport={"width": 360, "height": 800}, color_scheme="dark"."""
    where = browser.new_context(**context)
    page, own = where.new_page(), file.resolve().as_uri()
    result = Opened(page, [], [])

    def answer(route: Any) -> None:
        if route.request.url.split("#")[0] == own:
            route.continue_()
            return
        result.requests.append(route.request.url)
        route.abort()

    where.route("**/*", answer)
    page.on("console", lambda said: said.type in ("error", "warning") and result.errors.append(said.text))
    page.on("pageerror", lambda error: result.errors.append(str(error)))
    page.goto(own + fragment)
    wait_for_start(page)
    return result


def wait_for_start(frame: Any) -> None:
    """Wait until a page of `gemmconv explain` has unpacked its scripts and has started; others need no waiting."""
    frame.wait_for_function("() => !document.getElementById('packed') || (typeof page === 'object' && page.drawn)")


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Opened]]:
    """Return a function that opens files as `opened` does; at its end the test fails if a page was not clean."""
    pages: list[Opened] = []

    def open_one(file: Path, fragment: str = "", **context: Any) -> Opened:
        pages.append(opened(chromium, file, fragment, **context))
        return pages[-1]

    yield open_one
    try:
        for one in pages:
            one.check()
    finally:
        for one in pages:
            one.page.context.close()
