"""The benchmark of speed holds both sides to the same numbers, in rows that programs can read."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import alternating
import footprint
import speed


def test_every_row_says_how_long_both_sides_took_and_by_how_much_they_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tmp_path / "speed.json"
    sections = ["whole", "numbers", "parts", "maskformer"]
    monkeypatch.setattr(
        sys, "argv", ["speed.py", "--quick", "--json", str(found), "--threads", "1", "--only", *sections]
    )

    threads = torch.get_num_threads()
    try:
        speed.main()
    finally:
        torch.set_num_threads(threads)

    document = json.loads(found.read_text())
    assert document["environment"].keys() >= {"commit", "torch", "device", "threads", "precision", "matrix products"}
    rows = document["rows"]
    assert list(dict.fromkeys(row["section"] for row in rows)) == sections
    for row in rows:
        if row["section"] != "numbers":
            assert row["ours"] > 0
        if row["theirs"] is not None:
            assert row["ratio"] == pytest.approx(row["ours"] / row["theirs"])
    numbers = [row["differences"] for row in rows if row["section"] == "numbers"]
    assert len(numbers) == speed.SEEDS
    for row in (*numbers, rows[0]["differences"]):
        assert 0.4 < row["outside masks"] < 0.6
        assert row["masks likewise"] <= 1e-5 * row["largest logit"]
        assert row["bits"] <= 2  # of some ten thousand
        if row["bits"] == 0:
            assert row["masks"] <= 1e-5 * row["largest logit"]
            assert row["classes"] <= 1e-4


def test_flops_of_a_product_are_counted_in_attention_too() -> None:
    one = torch.ones(1, 2, 4, 8)

    assert alternating.flops(lambda: torch.ones(3, 4) @ torch.ones(4, 5)) == 2 * 3 * 4 * 5
    assert alternating.flops(lambda: torch.nn.functional.scaled_dot_product_attention(one, one, one)) == 4 * 2 * 16 * 8


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from Linux")
def test_memory_that_a_call_takes_is_told_and_not_what_was_there() -> None:
    held = torch.ones(4 << 20)

    before, most = footprint.peak(lambda: torch.ones(16 << 20).sum())

    assert before > held.nbytes
    assert 50 << 20 < most - before < 100 << 20
