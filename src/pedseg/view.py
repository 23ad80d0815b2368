"""``python -m pedseg.view``: see `pedseg.commands.view`."""

from pedseg.commands.view import main

if __name__ == "__main__":
    raise SystemExit(main())
