from __future__ import annotations

from bench.slow.soak import judge


def samples(mb: list[float], descriptors: int = 60) -> list[tuple[float, float, int]]:
    return [(at * 6.0, value, descriptors) for at, value in enumerate(mb)]


def test_growth_in_the_first_minute_is_warm_up() -> None:
    assert judge(samples([50.0 + at for at in range(10)] + [60.0] * 90), 600)["flat"]


def test_growth_after_it_is_a_leak() -> None:
    assert not judge(samples([50.0 + at / 10 for at in range(100)]), 600)["flat"]


def test_descriptors_that_pile_up_are_a_leak_too() -> None:
    growing = [(at * 6.0, 50.0, 60 + at) for at in range(100)]
    assert not judge(growing, 600)["flat"]
