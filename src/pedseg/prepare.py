"""``python -m pedseg.prepare``: see `pedseg.commands.prepare`."""

from pedseg.commands.prepare import main

if __name__ == "__main__":
    raise SystemExit(main())
