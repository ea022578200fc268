"""`python -m ds2`: the command `ds2`, by the Python that runs it."""

import sys

from ds2.cli import main

sys.exit(main())
