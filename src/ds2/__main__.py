"""`python -m ds2`: runs the command `ds2` with this Python."""

import sys

from ds2.cli import main

sys.exit(main())
