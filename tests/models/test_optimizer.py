from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_img.models.optimizer import (
    PLATEAU_FACTOR,
    PLATEAU_PATIENCE,
    build_optimizer,
    learning_rate,
    start_optimizer,
)
from automl_img.trials import Params
from tests.models.networks import built, params_of

SCHEDULES = st.sampled_from(["cosine", "constant", "plateau"])


def schedule(name: str, rate: float = 0.1, warmup: int = 0) -> Params:
    return {
        "optimizer.learning_rate": rate,
        "optimizer.schedule": name,
        "optimizer.warmup_epochs": warmup,
    }


def rates(params: Params, epochs: int, losses: tuple[float, ...] = ()) -> list[float]:
    return [learning_rate(params, epoch, epochs, losses[:epoch]) for epoch in range(epochs)]


@given(
    name=SCHEDULES,
    rate=st.floats(1e-6, 1),
    warmup=st.integers(0, 20),
    epochs=st.integers(1, 60),
    losses=st.lists(st.floats(0, 10), min_size=60, max_size=60),
)
def test_a_rate_is_above_zero_rises_while_warming_up_and_never_after(
    name: str, rate: float, warmup: int, epochs: int, losses: list[float]
) -> None:
    found = rates(schedule(name, rate, warmup), epochs, tuple(losses))
    assert all(0 < each <= rate * (1 + 1e-12) for each in found)
    top = min(warmup, epochs - 1)
    rising, falling = found[: top + 1], found[top:]
    assert rising[:-1] == sorted(rising[:-1])
    assert falling == sorted(falling, reverse=True)


def test_a_constant_rate_is_constant() -> None:
    assert rates(schedule("constant"), 5, (1.0,) * 5) == [0.1] * 5


def test_warming_up_is_a_straight_line_to_the_full_rate() -> None:
    assert rates(schedule("constant", 1.0, warmup=4), 6) == pytest.approx(
        [0.125, 0.375, 0.625, 0.875, 1.0, 1.0]
    )
    # At least one epoch is left for the schedule itself.
    assert rates(schedule("constant", 1.0, warmup=9), 3) == pytest.approx([0.25, 0.75, 1.0])
    assert rates(schedule("constant", 1.0, warmup=9), 1) == [1.0]


def test_the_cosine_begins_at_the_full_rate_is_half_in_the_middle_and_ends_near_zero() -> None:
    found = rates(schedule("cosine", 1.0), 101)
    assert found[0] > 0.999
    assert found[50] == pytest.approx(0.5)
    assert 0 < found[-1] < 0.001
    warmed = rates(schedule("cosine", 1.0, warmup=10), 111)
    assert warmed[10:] == pytest.approx(found)


def test_the_plateau_falls_each_time_that_patience_is_out() -> None:
    assert (PLATEAU_PATIENCE, PLATEAU_FACTOR) == (3, 0.3)
    losses = (1.0, 0.9, 0.95, 0.9, 0.91, 0.8, *[0.8] * 8)
    found = rates(schedule("plateau", 1.0), 14, losses)
    # Best at epoch 2, then three no better; best at epoch 6, then twice three no better.
    assert found == pytest.approx([1.0] * 5 + [0.3] * 4 + [0.09] * 3 + [0.027] * 2)
    falling = tuple(1.0 - 0.01 * epoch for epoch in range(12))
    assert rates(schedule("plateau", 1.0), 12, falling) == [1.0] * 12


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", keras.optimizers.Adam),
        ("adamw", keras.optimizers.AdamW),
        ("sgd", keras.optimizers.SGD),
        ("rmsprop", keras.optimizers.RMSprop),
    ],
)
def test_every_optimizer_learns_at_the_rate_it_is_given(name: str, kind: type) -> None:
    params = params_of(optimizer__name=name, optimizer__learning_rate="0.02")
    optimizer = build_optimizer(params)
    assert type(optimizer) is kind
    weight = keras.Variable(np.array([1.0, -1.0], "float32"))
    optimizer.build([weight])
    start_optimizer(optimizer, params)
    assert float(optimizer.learning_rate) == pytest.approx(0.02)
    optimizer.apply([np.array([0.5, -0.5], "float32")], [weight])
    first, second = np.array(weight)
    assert first < 1.0
    assert second > -1.0


def test_momentum_belongs_to_sgd_and_rmsprop_and_decay_to_adamw() -> None:
    assert build_optimizer(
        params_of(optimizer__name="sgd", optimizer__momentum="0.5")
    ).momentum == (0.5)
    rmsprop = build_optimizer(params_of(optimizer__name="rmsprop", optimizer__momentum="0"))
    assert rmsprop.momentum == 0
    assert "optimizer.momentum" not in params_of(optimizer__name="adam")
    assert "optimizer.weight_decay" not in params_of(optimizer__name="sgd")


def test_weight_decay_shrinks_kernels_and_leaves_biases_and_scales() -> None:
    model = built(optimizer__name="adamw", optimizer__weight_decay="0.5")
    model.optimizer.learning_rate = 0.1
    before = [np.array(v) for v in model.trainable_variables]
    zero = [np.zeros_like(each) for each in before]
    model.optimizer.apply(zero, model.trainable_variables)
    names = set()
    for variable, old in zip(model.trainable_variables, before, strict=True):
        names.add(variable.name)
        shrunk = 0.95 if variable.name == "kernel" else 1.0
        assert np.array(variable) == pytest.approx(shrunk * old, rel=1e-5)
    assert names == {"kernel", "bias", "gamma", "beta"}
