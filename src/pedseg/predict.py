"""``python -m pedseg.predict``: see `pedseg.commands.predict`."""

from pedseg.commands.predict import main

if __name__ == "__main__":
    raise SystemExit(main())
