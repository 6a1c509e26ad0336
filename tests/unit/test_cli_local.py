"""`onecore up`, `down` and `status` with daemons that are small scripts, and the pid files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port
from ssh_ground import soon

from cli.local import demo, down, launch
from cli.local.home import Daemon, Home, default, started, tail
from cli.onecore import main

ONED = """
import http.server, pathlib, signal, sys, time
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
home = pathlib.Path(options["--home"])
print("oned begins", flush=True)
if (home / "broken").exists():
    sys.exit("the database is from the future")
(home / "one_auth").write_text("oneadmin:secret\\n")
POOLS = {"one.hostpool.info": "HOST", "one.datastorepool.info": "DATASTORE"}
made = {"HOST": [], "DATASTORE": []}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        call = self.rfile.read(int(self.headers["Content-Length"])).decode()
        method = call.split("<methodName>")[1].split("<")[0]
        texts = [part.split("</string>")[0] for part in call.split("<string>")[1:]]
        value = f"<string>{method}</string>"
        if method == "onecore.version":
            value = "<string>9.9.9</string>"
        elif method == "onecore.status":
            work = '[{"kind": "vm", "id": 7, "command": "tm.epilog", "since": 1, "step": ""}]'
            value = f'<string>{{"version": "9.9.9", "counts": {{"vm": 3}}, "under_way": {work}}}</string>'
        elif method in POOLS:
            tag = POOLS[method]
            value = f"<string>&lt;P&gt;{''.join(made[tag])}&lt;/P&gt;</string>"
        elif method.endswith(".allocate"):
            tag = method.split(".")[1].upper()
            kind = "1" if "SYSTEM_DS" in texts[1] else "0"
            drivers = "<TM_MAD>dummy</TM_MAD><DS_MAD>dummy</DS_MAD>"
            body = f"<{tag}><NAME>{texts[1]}</NAME><TYPE>{kind}</TYPE>{drivers}</{tag}>"
            made[tag].append(body.replace("<", "&lt;").replace(">", "&gt;"))
            value = f"<int>{len(made[tag])}</int>"
        ok = f"<value><boolean>1</boolean></value><value>{value}</value><value><int>0</int></value>"
        inner = f"<param><value><array><data>{ok}</data></array></value></param>"
        data = f"<methodResponse><params>{inner}</params></methodResponse>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(options["--port"])), Handler)
def end(number, frame):
    (home / "ended").write_text("oned")
    if not (home / "stubborn").exists():
        sys.exit(0)
signal.signal(signal.SIGTERM, end)
server.serve_forever()
"""
ONESCHED = """
import pathlib, signal, sys, time
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
home = pathlib.Path(options["--home"])
(home / "endpoint-of-sched").write_text(options["--endpoint"])
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
time.sleep(600)
"""


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m onecore` and `python -m scheduler` are the scripts above."""
    for name, text in (("onecore", ONED), ("scheduler", ONESCHED)):
        package = tmp_path / "fake" / name
        package.mkdir(parents=True)
        (package / "__main__.py").write_text(text)
        (package / "__init__.py").touch()
    monkeypatch.setattr(launch, "environment", lambda: {**os.environ, "PYTHONPATH": str(tmp_path / "fake")})


@pytest.fixture
def home(tmp_path: Path, fakes: None) -> Iterator[Home]:
    """A home whose daemons are gone at the end."""
    made = Home(tmp_path / "home")
    yield made
    for daemon in made.daemons():
        daemon.signal(signal.SIGKILL)


def port() -> str:
    """A port that nobody else takes."""
    return str(free_port())


def test_up_status_down(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    number = port()
    assert main(["up", "--home", str(home.path), "--port", number]) == 0
    said = capsys.readouterr()
    url = f"http://127.0.0.1:{number}/RPC2"
    assert said.out == f"export ONE_AUTH={home.path}/one_auth ONE_XMLRPC={url}\n"
    assert "oned 9.9.9 runs (pid " in said.err
    told = home.path / "endpoint-of-sched"
    soon(lambda: told.exists() and told.read_text() == url)
    pids = [daemon.pid() for daemon in home.daemons()]
    assert all(pids)

    assert main(["up", "--home", str(home.path)]) == 0
    again = capsys.readouterr()
    assert again.out == said.out
    assert again.err.count("runs already") == 2
    assert [daemon.pid() for daemon in home.daemons()] == pids
    assert main(["up", "--home", str(home.path), "--port", port()]) == 255
    assert "onecore down first" in capsys.readouterr().err

    assert main(["status", "--home", str(home.path)]) == 0
    shown = capsys.readouterr().out
    assert f"oned                : running, pid {pids[1]}, for 0d 00h00\n" in shown
    assert "counts vm           : 3\n" in shown
    assert main(["status", "--home", str(home.path), "-j"]) == 0
    assert json.loads(capsys.readouterr().out)["pids"] == {"oned": pids[1], "onesched": pids[0]}

    assert main(["down", "--home", str(home.path)]) == 0
    assert "onesched stopped" in capsys.readouterr().err
    assert (home.path / "ended").exists()
    assert [daemon.pid() for daemon in home.daemons()] == [None, None]
    assert main(["status", "--home", str(home.path)]) == 255
    assert "http://127.0.0.1:2633/RPC2" in capsys.readouterr().out
    assert main(["down", "--home", str(home.path)]) == 0
    assert "oned does not run" in capsys.readouterr().err


def test_a_dead_oned_is_told_with_its_last_words(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.path.mkdir()
    (home.path / "broken").touch()
    assert main(["up", "--home", str(home.path), "--port", port()]) == 255
    err = capsys.readouterr().err
    assert "oned ended with 1" in err
    assert "the database is from the future" in err


def test_what_cannot_be_a_home_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--home", "/proc/x"]) == 255
    told = "/proc/x cannot be the home: No such file or directory; --home names another\n"
    assert capsys.readouterr().err == told


def test_a_port_in_use_is_told_first(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = str(other.getsockname()[1])
        assert main(["up", "--home", str(home.path), "--port", number]) == 255
    assert (
        f"127.0.0.1:{number}/RPC2 is in use by another program; choose another with --port" in capsys.readouterr().err
    )
    assert home.daemons()[1].pid() is None


def test_dummies_are_registered_once(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["up", "--home", str(home.path), "--port", port(), "--dummy", "3"]
    assert main(arguments) == 0
    assert "3 dummy hosts, 3 of them new; system datastore 1; image datastore 2" in capsys.readouterr().err
    assert 'system_tm = "dummy"' in home.config.read_text()
    assert main(arguments) == 0
    assert "3 dummy hosts, 0 of them new\n" in capsys.readouterr().err


def test_a_home_with_a_past_keeps_its_configuration(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.auth.write_text("oneadmin:x")
    demo.prepare(home)
    assert not home.config.exists()


def test_down_gives_up_and_down_now_kills(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["up", "--home", str(home.path), "--port", port()]) == 0
    (home.path / "stubborn").touch()
    for name, seconds in (("PATIENCE", 3.0), ("TELL_EVERY", 0.1), ("HASTE", 3.0)):
        monkeypatch.setattr(down, name, seconds)
    capsys.readouterr()
    assert main(["down", "--home", str(home.path)]) == 255
    said = capsys.readouterr().err
    assert "waiting for oned: 1 under way: vm 7 tm.epilog" in said
    assert "`onecore down --now` kills it" in said
    assert main(["down", "--home", str(home.path), "--now"]) == 0
    assert home.daemons()[1].pid() is None


def test_in_the_foreground_a_signal_ends_both(home: Home, tmp_path: Path) -> None:
    script = (
        "import os, sys; from cli.local import launch; from cli.onecore import main\n"
        f"launch.environment = lambda: {{**os.environ, 'PYTHONPATH': {str(tmp_path / 'fake')!r}}}\n"
        "raise SystemExit(main(sys.argv[1:]))"
    )
    arguments = ["up", "--home", str(home.path), "--port", port(), "--foreground"]
    with subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        while not (line := child.stdout.readline()).startswith("export"):
            assert line
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    assert (home.path / "ended").exists()
    assert [daemon.pid() for daemon in home.daemons()] == [None, None]


def test_a_pid_that_was_given_anew_is_left_alone(tmp_path: Path) -> None:
    daemon = Daemon("oned", tmp_path / "oned.pid")
    with subprocess.Popen(["sleep", "60"]) as other:
        daemon.record(other.pid)
        assert daemon.pid() == other.pid
        assert daemon.uptime() >= 0
        daemon.file.write_text(f"{other.pid} {(started(other.pid) or 0) - 1}\n")
        assert daemon.pid() is None
        assert not daemon.signal(signal.SIGTERM)
        assert other.poll() is None
        other.kill()
    for text in ("", "x y", "1", f"{2**22 + 1} 5"):
        daemon.file.write_text(text)
        assert daemon.pid() is None


def test_a_zombie_does_not_run() -> None:
    with subprocess.Popen(["true"]) as child:
        soon(lambda: started(child.pid) is None)
        assert Path(f"/proc/{child.pid}").exists()


@pytest.mark.parametrize(
    ("config", "number", "url"),
    [
        ("", None, "http://127.0.0.1:2633/RPC2"),
        ("", 5, "http://127.0.0.1:5/RPC2"),
        ("[server]\nport = 7\n", None, "http://127.0.0.1:7/RPC2"),
        ('[server]\nlisten = "0.0.0.0"\n', None, "http://127.0.0.1:2633/RPC2"),
        ('[server]\nlisten = "::1"\ntls_cert = "x"\n', None, "https://[::1]:2633/RPC2"),
        ("not toml", None, "http://127.0.0.1:2633/RPC2"),
    ],
)
def test_endpoints(tmp_path: Path, config: str, number: int | None, url: str) -> None:
    home = Home(tmp_path)
    home.config.write_text(config)
    assert home.configured(number) == url


def test_the_home_of_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default().path == tmp_path / ".local/share/onecore"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default().path == Path("/var/lib/onecore")


def test_tail(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("".join(f"line {i}\n" for i in range(100)))
    assert tail(file, 2) == ["line 98", "line 99"]
    assert tail(tmp_path / "none") == []
