"""The server: this machine, the right token, listed files of the folder, and nothing else."""

import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pedseg.errors import PedsegError
from pedseg.ownership import note
from pedseg.pages.server import HOST, PageServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A page, a secret beside its folder, and ways to it."""
    root = tmp_path / "a report"
    root.mkdir()
    listed = ["index.html", "figures/a b.svg", "out.csv", "away/secret.csv", "../secret.csv", "run.py", "pipe.csv"]
    note(root, [*listed, "figures", "absent.csv"])  # what else lies there comes later
    (root / "figures").mkdir()
    (root / "index.html").write_text("<p>the page</p>")
    (root / "figures" / "a b.svg").write_text("<svg/>")
    (root / "unlisted.csv").write_text("secret")
    (tmp_path / "secret.csv").write_text("secret")
    (root / "out.csv").symlink_to(tmp_path / "secret.csv")
    (root / "away").symlink_to(tmp_path)
    (root / "run.py").write_text("secret")
    os.mkfifo(root / "pipe.csv")
    return root


@pytest.fixture
def server(folder: Path) -> Iterator[PageServer]:
    with PageServer(folder) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(server: PageServer, target: str, *, method: str = "GET", host: str | None = None) -> tuple[int, str, str]:
    """Status, body and type of an answer; the target goes out as it stands."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=10)
    connection.putrequest(method, target, skip_host=True)
    connection.putheader("Host", host or f"{HOST}:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.headers.get("Content-Type", "")


def test_the_page_and_its_files_are_served(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/{server.token}/index.html"
    assert ask(server, f"/{server.token}/index.html") == (200, "<p>the page</p>", "text/html; charset=utf-8")
    assert ask(server, f"/{server.token}/figures/a%20b.svg?x=1") == (200, "<svg/>", "image/svg+xml")
    assert ask(server, f"/{server.token}/index.html", method="HEAD") == (200, "", "text/html; charset=utf-8")
    assert ask(server, f"/{server.token}/index.html", host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        "", "figures", "figures/", "unlisted.csv", "absent.csv", "run.py", ".pedseg-files.json",
        "../secret.csv", "%2e%2e/secret.csv", "..%2fsecret.csv", "figures/../../secret.csv", "%2e%2e%2fsecret.csv",
        "out.csv", "away/secret.csv", "pipe.csv", "index.html%00.csv", "//index.html", "C:\\index.html", "%ff",
    ],
)  # fmt: skip
def test_nothing_else_is(server: PageServer, name: str) -> None:
    status, body, _ = ask(server, f"/{server.token}/{name}")
    assert status == 404
    assert "secret" not in body


@pytest.mark.parametrize("target", ["/", "/index.html", "/x/index.html", "//index.html", "*", "/%C3%A9/index.html"])
def test_without_the_token_there_is_nothing(server: PageServer, target: str) -> None:
    assert ask(server, target)[0] == 404


def test_other_names_of_this_machine_and_other_methods_are_refused(server: PageServer) -> None:
    page = f"/{server.token}/index.html"
    assert ask(server, page, host="evil.example")[0] == 404  # a name elsewhere that points here
    assert ask(server, page, host=f"evil.example:{server.server_port}")[0] == 404
    assert ask(server, page, method="POST")[0] == 501


def test_every_server_has_its_own_token(folder: Path) -> None:
    with PageServer(folder) as one, PageServer(folder) as two:
        assert one.token != two.token
        assert len(one.token) >= 32
        with pytest.raises(PedsegError, match="cannot be had"):
            PageServer(folder, port=one.server_port)


def test_a_folder_without_a_page_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("somebody's")  # not pedseg's
    with pytest.raises(PedsegError, match="holds no page of pedseg; make one with pedseg report"):
        PageServer(tmp_path)
    with pytest.raises(PedsegError, match="holds no page"):
        PageServer(tmp_path / "absent")


def test_the_command_serves_until_it_is_stopped(folder: Path) -> None:
    command = [sys.executable, "-m", "pedseg.view", str(folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        connection = http.client.HTTPConnection("127.0.0.1", int(address.split(":")[2].split("/")[0]), timeout=10)
        connection.request("GET", "/" + address.split("/", 3)[3])
        assert connection.getresponse().read() == b"<p>the page</p>"
        connection.close()
        running.send_signal(signal.SIGINT)
        _, complaints = running.communicate(timeout=30)
    assert (running.returncode, complaints) == (0, "")
    refused = subprocess.run([*command[:3], str(folder / "figures")], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "holds no page of pedseg" in refused.stderr
