from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.search.postgresql import PostgreSQL


@pytest.fixture(scope="session")
def only_postgres() -> Iterator[PostgreSQL]:
    """A PostgreSQL server; skips where there is none, and fails on CI, where there is one."""
    from tests.search.postgresql import postgresql, programs

    folder = programs()
    if folder is None:
        reason = "PostgreSQL (postgres, initdb) is not on this machine"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with postgresql(folder) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", server.password)
        yield server


@pytest.fixture
def postgres(only_postgres: PostgreSQL) -> Iterator[PostgreSQL]:
    """The same server, which runs again after the test."""
    yield only_postgres
    only_postgres.start()
