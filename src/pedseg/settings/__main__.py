"""Write the reference page of every setting: ``python -m pedseg.settings > docs/configuration.md``."""

import sys

from pedseg.settings.page import page


def main() -> int:
    """Entry point."""
    sys.stdout.write(f"{page()}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
