"""A folder with a page, served to the browser of this machine and to nobody else."""

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pedseg.errors import PedsegError
from pedseg.files import open_regular
from pedseg.ownership import own
from pedseg.pages import PAGE

HOST = "127.0.0.1"
TOKEN_BYTES = 24
CHUNK = 1 << 20
TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".pdf": "application/pdf",
    ".csv": "text/csv; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".tex": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".gz": "application/octet-stream",
}
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageServer(ThreadingHTTPServer):
    """Serves the files that pedseg wrote into a folder, below a random token that no other page can guess.

    Args:
        folder: with an index.html.
        port: to listen at; 0 for a free one.

    Raises:
        PedsegError: the folder has no page, or the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        if PAGE not in own(folder) or not (folder / PAGE).is_file():
            raise PedsegError(
                f"{folder}: holds no page of pedseg; make one with pedseg report RUNS --output DIR, and view DIR"
            )
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.root = folder.resolve()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise PedsegError(f"--port {port} cannot be had ({error}); give another, or none for a free one") from error

    @property
    def hosts(self) -> frozenset[str]:
        """Names that a request may call this server by; a page elsewhere whose name points here has another."""
        return frozenset({f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"})

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.token}/{PAGE}"

    def file_of(self, target: str) -> Path | None:
        """The file that a request asks for; None for anything but a listed file of the folder."""
        token, _, name = unquote(urlsplit(target).path).removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.token.encode()) or name not in own(self.root):
            return None
        try:
            path = (self.root / name).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            return None
        return path if self.root in path.parents and path.is_file() and path.suffix in TYPES else None


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "pedseg", ""

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Send what goes before a file."""
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401  (inherited)
        """Say nothing: names of files and the token are nobody's business."""

    def _answer(self, *, body: bool) -> None:
        path = self.server.file_of(self.path) if self.headers.get("Host") in self.server.hosts else None
        try:
            file = open_regular(path) if path else None
        except PedsegError:
            file = None
        if path is None or file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            size = path.stat().st_size
            self.send_response(HTTPStatus.OK)
            for name, value in {**HEADERS, "Content-Type": TYPES[path.suffix], "Content-Length": str(size)}.items():
                self.send_header(name, value)
            self.end_headers()
            while body and (part := file.read(CHUNK)):
                self.wfile.write(part)
