"""``python -m pedseg.benchmark``: see `pedseg.commands.benchmark`."""

from pedseg.commands.benchmark import main

if __name__ == "__main__":
    raise SystemExit(main())
