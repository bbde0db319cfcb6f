"""``python -m adasr``: the command line without the installed script."""

import sys

from adasr.cli import main

if __name__ == "__main__":
    sys.exit(main())
