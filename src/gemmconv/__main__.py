"""``python -m gemmconv`` is the command ``gemmconv``."""

import sys

from gemmconv.cli import main

sys.exit(main())
