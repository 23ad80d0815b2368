"""``python -m pedseg <verb>``: see `pedseg.commands.dispatcher`."""

from pedseg.commands.dispatcher import main

if __name__ == "__main__":
    raise SystemExit(main())
