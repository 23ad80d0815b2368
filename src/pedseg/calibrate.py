"""``python -m pedseg.calibrate``: see `pedseg.commands.calibrate`."""

from pedseg.commands.calibrate import main

if __name__ == "__main__":
    raise SystemExit(main())
