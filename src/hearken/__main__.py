"""`python -m hearken`: the command line."""

import sys

from hearken.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
