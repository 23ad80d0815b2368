"""``python -m pedseg.check``: see `pedseg.commands.check`."""

from pedseg.commands.check import main

if __name__ == "__main__":
    raise SystemExit(main())
