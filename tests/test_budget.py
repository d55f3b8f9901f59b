from __future__ import annotations

import pytest

from automl_img.budget import Budget


@pytest.mark.parametrize(
    ("typed", "amount", "unit", "said"),
    [
        ("50", 50, "trials", "50 trials"),
        ("1 trial", 1, "trials", "1 trial"),
        ("500epochs", 500, "epochs", "500 epochs"),
        ("1 Epoch", 1, "epochs", "1 epoch"),
        ("2h", 7200, "seconds", "2 h"),
        ("1h30m", 5400, "seconds", "1 h 30 min"),
        ("5 min", 300, "seconds", "5 min"),
        ("90s", 90, "seconds", "1 min 30 s"),
        ("0.5h", 1800, "seconds", "30 min"),
        (" 45 seconds ", 45, "seconds", "45 s"),
    ],
)
def test_a_budget_is_read_as_people_type_it(
    typed: str, amount: float, unit: str, said: str
) -> None:
    budget = Budget.parse(typed)
    assert (budget.amount, budget.unit, str(budget)) == (amount, unit, said)


@pytest.mark.parametrize(
    "typed", ["0", "0s", "", "many", "-3", "5 apples", "1.5", "2m1h", "1e3", "0epochs", "nan"]
)
def test_what_is_no_budget_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Budget.parse(typed)


def test_a_budget_tells_the_amount_of_its_own_unit_alone() -> None:
    assert (Budget(3, "trials").trials, Budget(3, "trials").seconds) == (3, None)
    assert (Budget(3, "epochs").epochs, Budget(3, "epochs").trials) == (3, None)
    assert (Budget(3, "seconds").seconds, Budget(3, "seconds").epochs) == (3, None)
