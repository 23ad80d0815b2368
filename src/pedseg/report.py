"""``python -m pedseg.report``: see `pedseg.commands.report`."""

from pedseg.commands.report import main

if __name__ == "__main__":
    raise SystemExit(main())
