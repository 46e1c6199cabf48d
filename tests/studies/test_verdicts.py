"""Verdicts: by the spread of trainings, by that of pictures, or not at all."""

import statistics

import pytest

from lexiseg.studies.verdicts import (
    RULE,
    Claim,
    Contrast,
    Figures,
    Measured,
    above,
    find,
    jackknife,
    judge,
    rising,
    with_blocks,
)


def figures(**arms: Measured) -> Figures:
    return {arm: {"PQ": measured} for arm, measured in arms.items()}


@pytest.mark.parametrize(
    ("high", "low", "verdict"),
    [
        ((12.0, 12.1, 11.9), (10.0, 10.0, 10.0), "holds"),
        ((10.0, 10.0, 10.0), (12.0, 12.1, 11.9), "does not hold"),
        ((12.0, 9.0, 11.0), (10.0, 10.0, 10.0), "too close to call"),
    ],
)
def test_three_seeds_are_judged_by_their_spread(high: tuple[float, ...], low: tuple[float, ...], verdict: str) -> None:
    found = find(above("PQ", "high", "low"), figures(high=Measured(seeds=high), low=Measured(seeds=low)))

    assert found.verdict == verdict
    assert found.spread == pytest.approx(statistics.stdev(h - lo for h, lo in zip(high, low, strict=True)))
    assert found.spread_of == "trainings"


def test_one_training_is_judged_by_pictures_and_pairs_them() -> None:
    blocks = tuple(10.0 + 0.5 * b for b in range(20))
    both = figures(
        high=Measured(seeds=(15.0,), blocks=tuple(b + 1.0 + 0.001 * i for i, b in enumerate(blocks))),
        low=Measured(seeds=(14.0,), blocks=blocks),
    )

    found = find(above("PQ", "high", "low"), both)

    assert found.verdict == "holds"  # each figure varies widely, and their difference hardly does
    assert found.spread == pytest.approx(jackknife([1.0 + 0.001 * i for i in range(20)]))
    assert found.spread_of == "pictures"


def test_without_a_spread_nothing_is_shown_and_what_was_not_run_is_said() -> None:
    alone = figures(high=Measured(seeds=(50.0,)), low=Measured(seeds=(1.0,)))

    assert find(above("PQ", "high", "low"), alone).verdict == "too close to call"
    assert find(above("PQ", "high", "other"), alone).verdict == "not run"


def test_an_equality_is_one_of_every_digit() -> None:
    pair = figures(a=Measured(seeds=(0.1 + 0.2,)), b=Measured(seeds=(0.3,)), c=Measured(seeds=(0.3,)))

    assert find(above("PQ", "a", "b", kind="equal"), pair).verdict == "does not hold"
    assert find(above("PQ", "b", "c", kind="equal"), pair).verdict == "holds"


def test_of_two_spreads_the_larger_one_decides() -> None:
    blocks = (10.0, 14.0) * 10
    steady = figures(
        high=Measured(seeds=(12.0, 12.1, 11.9), blocks=blocks),
        low=Measured(seeds=(10.0, 10.0, 10.0), blocks=(11.0,) * 20),
    )

    found = find(above("PQ", "high", "low"), steady)

    assert (found.spread_of, found.verdict) == ("pictures", "too close to call")
    assert find(above("PQ", "low", "low", kind="equal"), steady).verdict == "holds"


def test_an_equality_is_broken_by_gains_that_cancel() -> None:
    pair = figures(a=Measured(seeds=(1.0, 2.0)), b=Measured(seeds=(2.0, 1.0)))

    assert find(above("PQ", "a", "b", kind="equal"), pair).verdict == "does not hold"


def test_a_margin_is_what_a_figure_may_lack() -> None:
    pair = figures(a=Measured(seeds=(9.5, 9.6, 9.4)), b=Measured(seeds=(10.0, 10.0, 10.0)))

    assert find(above("PQ", "a", "b"), pair).verdict == "does not hold"
    assert find(above("PQ", "a", "b", margin=1.0), pair).verdict == "holds"


def test_what_needs_no_training_stands_beside_every_seed() -> None:
    pair = figures(a=Measured(seeds=(11.0, 12.0, 13.0)), fixed=Measured(seeds=(5.0,)))

    assert find(above("PQ", "a", "fixed"), pair).gains == (6.0, 7.0, 8.0)


def test_a_claim_holds_if_all_do_and_controls_never_count() -> None:
    some = figures(
        a=Measured(seeds=(1.0, 1.1, 0.9)), b=Measured(seeds=(5.0, 5.1, 4.9)), c=Measured(seeds=(4.9, 5.2, 5.1))
    )

    def verdict(*contrasts: Contrast) -> str:
        return judge(Claim(name="X", says="", contrasts=contrasts), some)[0]

    up, down = above("PQ", "b", "a"), above("PQ", "a", "b")
    assert verdict(up) == "holds"
    assert verdict(up, above("PQ", "a", "b", kind="control")) == "holds"
    assert verdict(up, down) == "does not hold"
    assert verdict(up, above("PQ", "b", "c")) == "too close to call"
    assert verdict(up, above("PQ", "b", "z")) == "run in part"
    assert verdict(down, above("PQ", "b", "z")) == "does not hold"
    assert verdict(above("PQ", "b", "z")) == "not run"
    assert verdict(above("PQ", "b", "z"), above("PQ", "b", "a", kind="control")) == "not run"
    assert verdict(*rising(("PQ",), "a", "b", "c")) == "too close to call"


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = [3.0, 5.0, 4.0, 8.0, 6.0]

    found = with_blocks([[value] for value in values], lambda pool: {"mean": statistics.mean(pool)})

    assert found["mean"]["value"] == statistics.mean(values)
    assert jackknife(found["mean"]["blocks"]) == pytest.approx(statistics.stdev(values) / len(values) ** 0.5)
    assert with_blocks([[1.0]], lambda pool: {"mean": pool[0]}) == {"mean": {"value": 1.0, "blocks": []}}


def test_the_rule_says_what_is_computed() -> None:
    assert "twice the spread" in RULE
    assert "three or more seeds" in RULE
    assert "run in part" in RULE
