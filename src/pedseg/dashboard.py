"""``python -m pedseg.dashboard``: see `pedseg.commands.dashboard`."""

from pedseg.commands.dashboard import main

if __name__ == "__main__":
    raise SystemExit(main())
