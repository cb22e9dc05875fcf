"""Repeat factors of rare labels, and the order of an epoch: every repeat comes once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidsemi.data import samplers
from vidsemi.data.samplers import REPEAT_RULES, EpochSampler, draw_repeats, repeat_factors, repeats_of
from vidsemi.data.targets import Targets

labelings = st.lists(st.sets(st.integers(0, 5), min_size=1, max_size=3), min_size=1, max_size=40)


def targets_of(labeling: list[set[int]], classes: int = 6) -> Targets:
    offsets = np.cumsum([0, *map(len, labeling)])
    return Targets(offsets, np.array([label for one in labeling for label in sorted(one)]), classes)


@given(labelings, st.sampled_from(sorted(REPEAT_RULES)))
def test_factors_are_those_of_the_definition(labeling: list[set[int]], rule: str):
    frequency = {label: sum(label in one for one in labeling) / len(labeling) for label in range(6)}
    most = max(frequency.values())
    phi = {"natural": lambda x: 1.0, "square_root": lambda x: x**0.5, "uniform": lambda x: x}[rule]
    expected = [max(max(1.0, phi(most / frequency[label])) for label in one) for one in labeling]
    assert repeat_factors(targets_of(labeling), rule) == pytest.approx(expected)


def test_label_frequencies_by_rule():
    labels = np.repeat(np.arange(3), [100, 25, 4])
    targets = Targets.single(labels, 3)
    mass = {rule: np.bincount(labels, weights=repeat_factors(targets, rule)) for rule in REPEAT_RULES}
    assert mass["uniform"] == pytest.approx([100, 100, 100])
    assert mass["square_root"] == pytest.approx([100, 50, 20])
    assert mass["natural"] == pytest.approx([100, 25, 4])


@given(st.floats(1, 50), st.integers(0, 2**63))
def test_the_mean_number_of_repeats_is_the_factor(factor: float, seed: int):
    copies = draw_repeats(np.full(20_000, factor), seed)
    assert set(copies) <= {int(factor), int(factor) + 1}
    assert copies.mean() == pytest.approx(factor, abs=0.025)  # 7 standard deviations of a coin


@given(st.lists(st.sets(st.integers(0, 4), min_size=1, max_size=3), min_size=1), st.integers(0, 2**32))
def test_repeats_are_drawn_in_one_go(labeling: list[set[int]], seed: int):
    targets = targets_of([sorted(own) for own in labeling])
    for rule in REPEAT_RULES:
        expected = draw_repeats(repeat_factors(targets, rule), seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(samplers, "AT_ONCE", 3)
            assert repeats_of(targets, rule, seed).tolist() == expected.tolist()
            assert repeat_factors(targets, rule).sum() >= len(targets)


def test_the_order_of_an_epoch_is_a_permutation_of_seed_and_epoch():
    keys = EpochSampler(np.ones(1000, int), seed=3, start=1000, stop=2000)
    assert [index for _, index, _ in keys] == np.random.default_rng((3, 1)).permutation(1000).tolist()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12).filter(any), st.integers(0, 60))
def test_an_epoch_has_every_repeat_once_from_any_position(copies: list[int], start: int):
    order = {"repeats": np.array(copies), "seed": 3, "stop": 80}
    whole = list(EpochSampler(start=0, **order))
    keys = [(index, copy) for index, times in enumerate(copies) for copy in range(times)]
    for epoch in range(80 // len(keys)):
        one = whole[epoch * len(keys) : (epoch + 1) * len(keys)]
        assert sorted(one) == [(epoch, *key) for key in keys]
    assert list(EpochSampler(start=start, **order)) == whole[start:]
    assert all(isinstance(number, int) for key in whole for number in key)  # small to send to workers
