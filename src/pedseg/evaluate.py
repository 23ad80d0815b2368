"""``python -m pedseg.evaluate``: see `pedseg.commands.evaluate`."""

from pedseg.commands.evaluate import main

if __name__ == "__main__":
    raise SystemExit(main())
