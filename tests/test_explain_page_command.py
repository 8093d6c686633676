"""The command `gemmconv explain` writes the page, prints it or opens it, and refuses what is too large for it."""

from __future__ import annotations

import webbrowser

import numpy as np
import pytest

from gemmconv.explanation import example


def test_html_writes_a_file(tmp_path):
    assert example("full").html(tmp_path / "page.html") == (tmp_path / "page.html").read_text()


def test_command_writes_the_page(call, tmp_path):
    file = tmp_path / "a page.html"
    assert call("--example", "channels", "--html", file) == (0, "", f"{file}\n")
    assert file.read_text() == example("channels").html(name="channels")
    code, out, err = call("--example", "small", "--html", file)
    assert (code, out) == (1, "")
    assert err == f"gemmconv explain: error: {file} exists; give --force to overwrite it\n"
    assert "channels" in file.read_text()
    assert call("--html", file, "--force")[0] == 0
    assert file.read_text() == example("small").html(name="small")
    assert call("--html", tmp_path / "no" / "page.html")[0] == 1


def test_command_prints_too_if_asked(call, tmp_path):
    text = example("full").text(100, ["size"])
    assert call("--example", "full", "--show", "size", "--html", tmp_path / "page.html")[:2] == (0, text)
    assert (tmp_path / "page.html").exists()


def test_command_prints_the_page(call):
    assert call("--example", "full", "--html", "-") == (0, example("full").html(name="full"), "")


def test_command_opens_the_page(call, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(webbrowser, "open", shown.append)
    file = tmp_path / "page.html"
    assert call("--html", file, "--open")[0] == 0
    assert shown == [file.as_uri()]
    assert call("--open")[0] == 2
    assert call("--open", "--html", "-")[0] == 2
    assert len(shown) == 1


def test_command_takes_the_name_of_a_file(call, tmp_path):
    file = tmp_path / "<b>.npz"
    np.savez(file, x=np.ones((1, 3)), weight=np.ones((1, 1, 2)))
    code, out, _ = call("--from", file, "--html", "-")
    assert code == 0
    assert "<title>&lt;b&gt;.npz: a convolution as a matrix multiplication</title>" in out


TOO_LARGE = {
    "x": (
        ("3x224x224", "8x3x3x3"),
        "x has shape (3, 224, 224); x and weight have 150744 numbers, and the page takes 20000: cut x, for example "
        "x[:, :8, :8]",
    ),
    "weight": (
        ("200x3", "200x200x1"),
        "weight has shape (200, 200, 1); x and weight have 40600 numbers, and the page takes 20000: cut weight, for "
        "example weight[:8, :8]",
    ),
    "y": (("1x10", "1x1x1", "--padding", "60000"), "y has 120010 numbers, and the page takes 100000"),
    "work": (("1x9000", "1x1x4000"), "the sums of all outputs have 20004000 terms, and the page takes 4194304"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_too_large_for_a_page(call, tmp_path, name):
    (x, weight, *words), message = TOO_LARGE[name]
    file = tmp_path / "page.html"
    code, out, err = call("--x", x, "--weight", weight, *words, "--html", file)
    assert (code, out) == (2, "")
    assert message in err
    assert not file.exists()
