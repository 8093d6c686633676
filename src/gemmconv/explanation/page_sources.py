"""Scripts and styles without what only their readers need. It imports nothing, as setup.py uses it without the package.

An editable installation has the sources as they were written, a wheel has them stripped; the page is the same.
"""

from __future__ import annotations

import re

# Comments that begin a line, and what is before the first character of a line; every script says "use strict" alone.
COMMENTS = re.compile(r'^[ \t]*(//.*|/\*(.|\n)*?\*/[ \t]*|"use strict";)\n', re.MULTILINE)
INDENTATION = re.compile(r"^\s+", re.MULTILINE)


def stripped(source: str) -> str:
    """Return a script or a style without indentation and without the lines that are only a comment."""
    return INDENTATION.sub("", COMMENTS.sub("", source))
