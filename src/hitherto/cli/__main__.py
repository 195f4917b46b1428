"""``python -m hitherto.cli``."""

import sys

from hitherto.cli import main

sys.exit(main())
