"""``python -m pedseg.status``: see `pedseg.commands.status`."""

from pedseg.commands.status import main

if __name__ == "__main__":
    raise SystemExit(main())
