"""`python -m vflow.engine`: the same as the `vflow` command."""

import sys

from vflow.engine.cli import main

sys.exit(main())
