"""Runs a command of pedseg in a process of its own, under watch: ``python -m tests.faults.start JSON``."""

import json
import sys
from pathlib import Path

from tests.faults.server import begin

if __name__ == "__main__":
    run = json.loads(sys.argv[1])
    raise SystemExit(begin(run["log"], Path(run["cwd"]), run["forbidden"], run["arguments"]))
