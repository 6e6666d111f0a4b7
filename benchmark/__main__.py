"""`python -m benchmark` is the console script `benchmark`."""

import sys

from benchmark.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
