"""``python -m pedseg.convert``: see `pedseg.commands.convert`."""

from pedseg.commands.convert import main

if __name__ == "__main__":
    raise SystemExit(main())
