from __future__ import annotations

import subprocess
import sys

import pytest

from automl_img.models.hyperparameters import declared
from automl_img.models.signature import OUTSIDE, VARIABLES, signature
from tests.models.networks import params_of


def of(**fix: str) -> str:
    return signature(params_of(**fix), flips=True, channels=3)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("optimizer__learning_rate", "1e-2", "1e-4"),
        ("optimizer__schedule", "cosine", "plateau"),
        ("batch_size", "16", "64"),
        ("head__dropout", "0.1", "0.5"),
        ("regularization__l2", "1e-5", "1e-3"),
        ("label_smoothing", "0", "0.2"),
        ("augment__strength", "0.1", "1"),
    ],
)
def test_what_is_a_variable_of_the_graph_shares_it(name: str, one: str, other: str) -> None:
    assert of(**{name: one}) == of(**{name: other})


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("cnn__depth", "1", "2"),
        ("optimizer__name", "adam", "sgd"),
        ("head__units", "0", "64"),
        ("head__pooling", "avg", "max"),
        ("head__dropout", "0", "0.1"),
        ("regularization__l2", "0", "1e-3"),
        ("augment__strength", "0", "0.1"),
        ("augment__noise", "0", "0.1"),
    ],
)
def test_what_shapes_the_graph_makes_another(name: str, one: str, other: str) -> None:
    assert of(**{name: one}) != of(**{name: other})


def test_images_that_must_not_be_mirrored_have_another_graph() -> None:
    params = params_of(augment__strength="1")
    assert signature(params, True, 3) != signature(params, False, 3)


def test_every_name_in_the_lists_is_a_hyperparameter() -> None:
    names = {dimension.name for dimension in declared()}
    assert names >= VARIABLES | OUTSIDE
    assert not VARIABLES & OUTSIDE


def test_it_is_told_without_keras() -> None:
    code = (
        "import sys; from automl_img.models.signature import signature; "
        "print(signature({'augment.strength': 0.5}, True, 3), 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "False"
    assert len(done.stdout.split()[0]) == 16
