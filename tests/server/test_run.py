"""The command, as a process: its address, its end, and what it says when it can't begin."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from lexiseg.cli.main import app
from lexiseg.server.run import address_of, listen


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`lexiseg serve` on a free port, ready.

    Yields:
        The process, and the address that it has said.
    """
    command = [sys.executable, "-m", "lexiseg", "serve", "--port", "0", "--device", "cpu", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+:\d+", line)
        assert found, line + (process.stderr.read() if process.stderr else "")
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "told"), [(signal.SIGTERM, 0, ""), (signal.SIGINT, 130, "interrupted")])
def test_requests_under_way_are_answered_before_it_ends(
    number: signal.Signals, code: int, told: str, tiny_folder: Path, png: bytes, tmp_path: Path
) -> None:
    answers: list[int] = []
    with serving("--model", str(tiny_folder), TMPDIR=str(tmp_path)) as (process, address):
        words = ", ".join(f"word {n}" for n in range(200))
        handle = httpx.post(f"{address}/v1/encode", files={"picture": png}, timeout=60).json()["handle"]
        asked = {"json": {"handle": handle, "vocabulary": words}, "timeout": 60}
        asking = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{address}/v1/segment", **asked).status_code)
        )
        asking.start()
        while "queue_length 0" in httpx.get(f"{address}/metrics", timeout=60).text and not answers:
            pass
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
        asking.join()

    assert answers == [200]
    assert process.returncode == code
    assert told in errors
    assert "Traceback" not in errors
    assert rest == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_damaged_weights_end_it_with_a_sentence(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    command = [sys.executable, "-m", "lexiseg", "serve", "--port", "0", "--model", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 1
    assert done.stderr.startswith("lexiseg: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_port_in_use_is_a_sentence() -> None:
    with listen("127.0.0.1", 0) as taken:
        done = CliRunner().invoke(app, ["serve", "--port", str(taken.getsockname()[1])])

    assert done.exit_code == 2
    assert "can't be had" in done.output
    assert "--port" in done.output


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1", "192.0.2.1"])
def test_an_address_of_another_machine_is_a_sentence(host: str) -> None:
    done = CliRunner().invoke(app, ["serve", "--host", host, "--port", "0"])

    assert done.exit_code == 2
    assert host in done.output


@pytest.mark.parametrize("options", [["--token", "short"], ["--cors", "*"], ["--cache-bytes", "10"], ["--model", "no"]])
def test_what_makes_no_sense_is_a_sentence(options: list[str]) -> None:
    done = CliRunner().invoke(app, ["serve", *options])

    assert done.exit_code in (1, 2)
    assert done.output.count("\n") == 1


def test_a_missing_extra_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("lexiseg.server.run")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    done = CliRunner().invoke(app, ["serve"])

    assert done.exit_code == 2
    assert "pip install 'lexiseg[serve]'" in done.output


def test_an_answer_does_not_wait_for_the_client_to_confirm_its_headers() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_all_addresses_of_this_machine_are_named_by_one_that_a_browser_takes() -> None:
    with listen("0.0.0.0", 0) as listening:
        assert address_of(listening) == f"http://localhost:{listening.getsockname()[1]}"


def test_an_address_of_ipv6_is_written_as_browsers_take_it() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        with listen("::1", 0) as listening:
            assert address_of(listening) == f"http://[::1]:{listening.getsockname()[1]}"
    except ValueError:
        pytest.skip("this machine has no IPv6")


def test_the_help_needs_neither_the_extra_nor_torch() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('fastapi', 'torch'))); from lexiseg.cli.main import app; app()"
    )

    done = subprocess.run([sys.executable, "-c", code, "serve", "--help"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "--token" in done.stdout
