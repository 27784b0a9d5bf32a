"""`python -m mapjax.cli` is `mapjax`."""

import sys

from mapjax.cli import main

sys.exit(main())
