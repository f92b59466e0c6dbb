"""`python -m ganvas`."""

import sys

from ganvas.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
