"""``python -m pedseg.completion``: see `pedseg.commands.completion`."""

from pedseg.commands.completion import main

if __name__ == "__main__":
    raise SystemExit(main())
