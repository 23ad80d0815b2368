"""What a watched process does that it has no business to do: written by an audit hook, one line for each deed."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGING = {
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
}
STARTING = {"os.system", "os.exec", "os.posix_spawn", "pty.spawn"}
NO_FILES = ("/dev/", "/proc/")  # may be written to by whoever likes
TOOLS = {"uname", "ldconfig", "lscpu", "gcc", "cc", "file", "git", "fc-list"}  # what libraries ask of the machine


class Watch:
    """The hook.

    Args:
        log: descriptor that deeds are written to.
        inside: the only folder that the process may write in.
        forbidden: pattern of names of files that it may not read.
    """

    def __init__(self, log: int, *, inside: Path, forbidden: str = "") -> None:
        self.log, self.root, self.forbidden = log, f"{inside.resolve()}/", forbidden
        self.kinds: dict[str, Callable[[tuple[Any, ...]], None]] = {
            "open": self._opened,
            "subprocess.Popen": self._started,
            "socket.connect": self._connected,
            **dict.fromkeys(STARTING, self._started),
        }

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at an event of the interpreter."""
        if event in self.kinds:
            self.kinds[event](arguments)
        for place in CHANGING.get(event, ()):
            if self._outside(arguments[place], follow=False):
                self._note(event, arguments[place])

    def _note(self, *words: object) -> None:
        os.write(self.log, (" ".join(map(str, words)) + "\n").encode(errors="backslashreplace"))

    def _outside(self, path: object, *, follow: bool = True) -> bool:
        if not isinstance(path, str | bytes):
            return False
        folder, name = os.path.split(os.fsdecode(path))
        full = os.path.realpath(os.fsdecode(path)) if follow else os.path.realpath(folder or ".") + f"/{name}"
        return not f"{full}/".startswith((self.root, *NO_FILES))

    def _opened(self, arguments: tuple[Any, ...]) -> None:
        path, flags = arguments[0], arguments[2]
        if isinstance(flags, int) and flags & WRITING and self._outside(path):
            self._note("wrote", path)
        if self.forbidden and isinstance(path, str) and re.search(self.forbidden, path):
            self._note("read", path)

    def _started(self, arguments: tuple[Any, ...]) -> None:
        words = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], list | tuple) else arguments[:1]
        program = os.fsdecode(words[0]) if words else ""
        if Path(program).name not in TOOLS and program != sys.executable:
            self._note("started", words)

    def _connected(self, arguments: tuple[Any, ...]) -> None:
        if isinstance(arguments[1], tuple):
            self._note("connected to", arguments[1])
