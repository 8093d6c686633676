"""Links in the address of a page: one that makes no sense is ignored, with a warning until the problem changes."""

from __future__ import annotations

from browser import opened

from gemmconv.explanation import example


def test_a_page_shows_that_it_ignores_its_link(chromium, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(example("small").html())
    for fragment in ("#<img src=x onerror=alert(1)>", "#x=1x4&w=1x1x2&e=%3Cimg%20src=x%3E"):
        one = opened(chromium, file, fragment)
        assert one.page.evaluate("String(page.state.problem.x.shape)") == "1,4,4"
        assert "this link is ignored: " in one.page.locator("#wrong").inner_text()
        assert one.page.locator("img").count() == 0
        one.check()
        one.page.context.close()


def test_a_change_ends_the_warning(open_page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(example("channels").html(name="channels"))
    page = open_page(file, "#x=3x4x4").page
    assert page.inner_text("#wrong") == "this link is not complete; the page shows its own numbers"
    page.evaluate("page.step(1)")
    assert page.is_visible("#wrong")  # what only moves the selection is no change
    page.get_by_role("radio", name="Backward").check()
    assert page.is_hidden("#wrong")


def test_a_link_that_makes_sense_ends_the_warning(open_page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(example("channels").html(name="channels"))
    page = open_page(file, "#x").page
    assert page.is_visible("#wrong")
    page.evaluate("location.hash = '#x=1x9&w=1x1x2&s=123456'")
    page.wait_for_function("page.state.problem.stride[0] === 123456")
    assert page.is_hidden("#wrong")
    assert page.inner_text("#checked").startswith("Computed by this page.")
    page.evaluate("location.hash = '#x=3x4x4&w=2x3x2x2&a=w5&n=1'")  # the numbers the page was made with
    page.wait_for_function("page.state.selection.kind === 'weight'")
    assert page.inner_text("#checked").startswith("checked: all 18 outputs")
