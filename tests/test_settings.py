from __future__ import annotations

from typing import Any

import pytest

from automl_img.errors import SettingsError
from automl_img.search.inputs import command_of
from automl_img.settings import SearchSettings, check, merged


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ({"batch_size": 64}, {"batch_size": "64"}),
        ({"batch_size": [32, 64]}, {"batch_size": "32,64"}),
        (
            {"cnn": {"depth": 3, "batch_normalization": True}},
            {"cnn.depth": "3", "cnn.batch_normalization": "true"},
        ),
        ({"optimizer.learning_rate": "1e-3"}, {"optimizer.learning_rate": "1e-3"}),
    ],
)
def test_values_from_python_and_toml_are_read_as_if_typed(
    given: dict[str, Any], typed: dict[str, str]
) -> None:
    assert check({"fix": given}).fix == typed


def test_what_is_asked_for_comes_over_the_defaults_and_is_added_to_what_they_fix() -> None:
    defaults = {"budget": 5, "fix": {"cnn": {"depth": 3}, "batch_size": 32}}
    result = merged(defaults, {"budget": 9, "fix": {"batch_size": "64"}})
    assert result == {"budget": 9, "fix": {"cnn.depth": "3", "batch_size": "64"}}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"budgt": 3}, "did you mean 'budget'"),
        ({"budget": 0}, "budget: .* but got 0"),
        ({"max_epochs": -1}, "max-epochs: "),
        ({"name": "a/b"}, "plain file name"),
        ({"seed": 2**32}, "seed: "),
        ({"fix": {"batch_size": None}}, "fix.batch_size: "),
        ({"storage": "mysql://me@host/studies"}, "storage: must be as postgresql://"),
        ({"storage": "postgresql://me@host"}, "storage: must be as postgresql://"),
        ({"storage": "postgresql://me@host:many/studies"}, "storage: must be as postgresql://"),
        ({"join": "pets"}, "join: needs --storage"),
    ],
)
def test_a_wrong_setting_is_one_sentence(values: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as failure:
        check(values)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    "url", ["postgresql://me:hidden@host/studies", "postgresql://me@host/studies?password=hidden"]
)
def test_a_password_in_a_url_is_refused_and_not_said_again(url: str) -> None:
    with pytest.raises(SettingsError, match=r"must hold no password, .* PGPASSWORD") as failure:
        check({"storage": url})
    assert "hidden" not in str(failure.value)


@pytest.mark.parametrize(
    "url", ["postgresql://me@host:5432/studies", "postgresql:///studies?host=/run/postgresql"]
)
def test_what_a_url_of_a_server_leaves_out_is_for_libpq(url: str) -> None:
    assert check({"storage": url, "join": "pets"}).storage == url


def test_the_command_in_the_report_asks_for_the_same_search_again() -> None:
    settings = SearchSettings(
        data="my photos", budget=7, seed=3, fix={"batch_size": "64"}, search={"cnn.depth": "1..2"}
    )
    assert command_of(settings) == (
        "automl-img search 'my photos' --budget 7 --search cnn.depth=1..2 "
        "--fix batch_size=64 --seed 3"
    )


@pytest.mark.parametrize(
    ("typed", "amount"),
    [("20GB", 20 * 10**9), ("1.5 gb", 1_500_000_000), ("500M", 5 * 10**8), ("0", 0), (4096, 4096)],
)
def test_the_room_for_features_is_an_amount_of_bytes(typed: Any, amount: int) -> None:
    assert check({"feature_cache": typed}).feature_bytes == amount


def test_an_amount_that_is_none_is_named() -> None:
    with pytest.raises(SettingsError, match=r"feature-cache: must be an amount .* 'much'"):
        check({"feature_cache": "much"})
