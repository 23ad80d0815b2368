"""``python -m pedseg.validate``: see `pedseg.commands.validate`."""

from pedseg.commands.validate import main

if __name__ == "__main__":
    raise SystemExit(main())
