"""The benchmark of serving asks a real server, and tells rates on both sides and memory."""

import re
import sys
from pathlib import Path

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
