"""The benchmark of serving asks a real server, and tells rates on both sides and memory."""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import serve


@pytest.mark.slow
def test_every_act_is_asked_of_both_sides_by_each_number_of_clients(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    given = ["--requests", "6", "--memory-requests", "9", "--clients", "1", "3", "--size", "96x96"]
    monkeypatch.setattr(sys, "argv", ["serve.py", *given])

    serve.main()

    told = capsys.readouterr().out
    rows = [line.strip("| ").split(" | ") for line in told.splitlines() if line.startswith("|")][2:]
    assert [(row[0], row[1]) for row in rows] == [(act, n) for act in ("look", "again", "changed") for n in ("1", "3")]
    for _, _, rate, median, slowest, calls, ratio in rows:
        assert float(rate) > 0
        assert 0 < float(median) <= float(slowest)
        assert float(ratio) == pytest.approx(float(rate) / float(calls), rel=0.1, abs=0.02)
    assert re.search(r"memory: \d+ MB before 9 requests, \d+ MB after", told)


@dataclass
class Scripted:
    """A connection that does one thing after the other, and the last for ever."""

    acts: list[int | Exception]
    closed: int = 0
    asked: int = 0
    headers: dict[str, str] = field(default_factory=lambda: {"Retry-After": "0"})
    status: int = 0

    def request(self, *_: object) -> None:
        self.asked += 1
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        if isinstance(act, Exception):
            raise act
        self.status = act

    def getresponse(self) -> "Scripted":
        return self

    def read(self) -> bytes:
        return b'{"error": "busy"}'

    def close(self) -> None:
        self.closed += 1


def ask(connection: Any) -> dict[str, str]:
    return serve._ask(connection, "/", b"", "application/json")


def test_a_broken_connection_is_opened_again_once_and_a_dead_server_ends_the_benchmark() -> None:
    idle, dead = Scripted([ConnectionResetError(), 503, 200]), Scripted([ConnectionRefusedError()])

    assert ask(idle) == {"error": "busy"}
    assert (idle.asked, idle.closed) == (3, 1)
    with pytest.raises(ConnectionRefusedError):
        ask(dead)
    assert dead.asked == 2


def test_a_server_that_stays_busy_ends_the_benchmark() -> None:
    busy = Scripted([503])

    with pytest.raises(SystemExit, match="503: busy"):
        ask(busy)

    assert busy.asked == 1 + serve.TRIES
