"""The folder in which a trial takes place, and the process that runs its commands."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
MEMORY_LIMIT = 6 << 30  # bytes of address space; commands with torch loaded take one
LIMIT_S = 180.0  # ten times what a command takes where ten others compute
BASE = {
    "OMP_NUM_THREADS": "1",
    "HOME": "home",
    "TMPDIR": "home/tmp",
    "MPLCONFIGDIR": "home/mpl",
    "COLUMNS": "200",
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
    "XDG_CACHE_HOME": "home/cache",
    "MPLBACKEND": "agg",
}


@dataclass(frozen=True)
class Ended:
    """What became of a command.

    Attributes:
        code: of its exit; negative for a signal.
        seconds: it took.
        late: whether it was ended at the limit of time.
        memory_mb: most that it held.
        cpu_s: processor time it took.
        out: its stdout.
        err: its stderr.
        deeds: what it did that it has no business to do.
    """

    code: int
    seconds: float
    late: bool
    memory_mb: int
    cpu_s: float
    out: str
    err: str
    deeds: str
    notes: tuple[str, ...] = field(default=())


class Stage:
    """A folder `at`, always of the same name, and a server that runs commands in it.

    Args:
        work: folder that the stage lies in.
    """

    def __init__(self, work: Path) -> None:
        self.work = work.resolve()
        self.at = self.work / "at"
        self.streams = self.work / "streams"
        self.world = self.work / "world"
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start the server."""
        self.work.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"PYTHONPATH": BASE["PYTHONPATH"], "OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._line()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the server."""
        assert self._server is not None
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()

    def set(self, parts: Sequence[str]) -> Path:
        """Empty the folder, copy parts of the world into it, and return it."""
        shutil.rmtree(self.at, ignore_errors=True)
        (self.at / "home" / "tmp").mkdir(parents=True)
        for part in parts:
            source, target = self.world / part, self.at / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy2(source, target)
        return self.at

    def prepared(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        limits: Mapping[str, int] | None = None,
        closed: Sequence[int] = (),
        folder: str = ".",
        out: str | None = None,
        fresh: bool = False,
        after_s: float = 0,
        kill_s: float | None = None,
        kill_by: int = 9,
        forbidden: str = "",
    ) -> dict[str, Any]:
        """A command for `run`.

        Args:
            command: words of the command line.
            env: variables that differ from `BASE`; None removes one.
            limits: of the module `resource`.
            closed: streams that are closed: 1 stdout, 2 stderr.
            folder: in which it runs.
            out: file that takes stdout.
            fresh: in a new interpreter.
            after_s: when it starts.
            kill_s: when it gets a signal, if it does.
            kill_by: the signal.
            forbidden: pattern of names of files that it may not read.
        """
        places = {name: str(self.at / value) if value.startswith("home") else value for name, value in BASE.items()}
        return {
            "arguments": list(command),
            "cwd": str(self.at),
            "from": str(self.at / folder),
            "env": {**places, **(env or {})},
            "limits": {"RLIMIT_AS": MEMORY_LIMIT, "RLIMIT_CORE": 0, **(limits or {})},
            "closed": list(closed),
            "out": out,
            "fresh": fresh,
            "after_s": after_s,
            "kill_s": kill_s,
            "kill_by": kill_by,
            "forbidden": forbidden,
        }

    def run(self, runs: Sequence[dict[str, Any]], *, limit_s: float = LIMIT_S) -> list[Ended]:
        """Run commands side by side, and return what became of each."""
        shutil.rmtree(self.streams, ignore_errors=True)
        self.streams.mkdir()
        for number, run in enumerate(runs):
            run["out"] = run["out"] or str(self.streams / f"{number}.out")
            run["err"], run["deeds"] = (str(self.streams / f"{number}.{kind}") for kind in ("err", "deeds"))
        assert self._server is not None
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"runs": list(runs), "limit_s": limit_s}) + "\n")
        self._server.stdin.flush()
        results = json.loads(self._line())
        texts = [[self._text(run[kind]) for kind in ("out", "err", "deeds")] for run in runs]
        return [Ended(**result, out=o, err=e, deeds=d) for result, (o, e, d) in zip(results, texts, strict=True)]

    @staticmethod
    def _text(name: str) -> str:
        path = Path(name)
        return path.read_bytes()[:200_000].decode(errors="backslashreplace") if path.is_file() else ""

    def _line(self) -> str:
        assert self._server is not None
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError("the server of the trials has ended")
        return line
