"""``python -m pedseg.train``: see `pedseg.commands.train`."""

from pedseg.commands.train import main

if __name__ == "__main__":
    raise SystemExit(main())
