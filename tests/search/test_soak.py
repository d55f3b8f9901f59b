from __future__ import annotations

from pathlib import Path

import pytest

from tests.search.soak import Soak


@pytest.mark.alone
@pytest.mark.slow
def test_in_a_search_with_faults_of_every_kind_nothing_grows_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    soak = Soak(tmp_path, trials=80, seed=1)
    soak.search()
    assert soak.problems() == []
