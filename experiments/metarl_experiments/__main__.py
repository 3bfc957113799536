"""`python -m metarl_experiments` is `metarl`."""

import sys

from metarl_experiments.cli import main

sys.exit(main())
