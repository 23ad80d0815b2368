"""``python -m pedseg.postprocess``: see `pedseg.commands.postprocess`."""

from pedseg.commands.postprocess import main

if __name__ == "__main__":
    raise SystemExit(main())
