"""The gallery: the programs in examples/ run while the site is built, and the pictures that they write are shown."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from matplotlib import cbook, pyplot
from PIL import Image
from sphinx_gallery.scrapers import figure_rst

#: The pictures that the examples write while the site is built.
PICTURES = Path(tempfile.mkdtemp(prefix="gemmconv_gallery_"))

#: Example -> the rest of its arguments. The first is always the picture that it writes.
ARGUMENTS = {"deblur": ["--iterations", "30"]}


def arguments(_: dict[str, Any], script: dict[str, Any]) -> list[str]:
    """Return the arguments with which an example runs."""
    name = Path(script["src_file"]).stem
    picture = str(PICTURES / f"{name}.png")
    if name == "filter_picture":
        return [str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)), picture]
    return [picture, *ARGUMENTS.get(name, [])]


def written_pictures(_: object, script: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return the reStructuredText of the pictures that an example has written since it was last asked for."""
    shown = []
    for picture in sorted(PICTURES.glob("*.png")):
        path = next(script["image_path_iterator"])
        with Image.open(picture) as image:
            image.save(path)
        picture.unlink()
        shown.append(path)
    pyplot.close("all")
    return figure_rst(shown, settings["src_dir"])


SETTINGS = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "reset_argv": "gallery_setup.arguments",
    "image_scrapers": ("gallery_setup.written_pictures",),
    "capture_repr": ("_repr_html_", "__repr__"),
    "reference_url": {},
    "download_all_examples": False,
    "write_computation_times": False,
    "show_signature": False,
    "abort_on_example_error": True,
}
