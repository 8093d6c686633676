"""What the tests of the page rely on: a request, an error or a violation of the policy does not go unseen."""

from __future__ import annotations

import browser
import pytest

POLICY = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; script-src 'unsafe-inline'\">"
ICON = "<link rel=icon href=data:,>"


def test_what_a_page_should_not_do_is_seen(chromium, tmp_path):
    def seen(name: str, body: str) -> browser.Opened:
        file = tmp_path / name
        file.write_text(f"<!DOCTYPE html>{ICON}{body}")
        return browser.opened(chromium, file)

    clean = seen("clean.html", "<script>location.hash = 'x'</script>")
    other = seen("request.html", "<img src=other.png><img src=http://localhost:1/x.png>")
    assert [url.rsplit("/", 1)[1] for url in other.requests] == ["other.png", "x.png"]
    thrown = seen("error.html", "<script>console.warn('careful'); missing()</script>")
    assert len(thrown.errors) == 2
    forbidden = seen("policy.html", f"{POLICY}<p style='color: red'>red</p>")
    assert "Content Security Policy" in forbidden.errors[0]
    clean.check()
    for one in (other, thrown, forbidden):
        with pytest.raises(AssertionError):
            one.check()
    for one in (clean, other, thrown, forbidden):
        one.page.context.close()


def test_the_browser_that_is_named_is_taken(monkeypatch):
    monkeypatch.setenv("GEMMCONV_CHROMIUM", "/some/browser")
    assert browser.executable() == "/some/browser"
    monkeypatch.delenv("GEMMCONV_CHROMIUM")
    monkeypatch.setenv("PATH", "")
    assert browser.executable() is None
