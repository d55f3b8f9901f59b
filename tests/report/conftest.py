from __future__ import annotations

import pytest

from automl_img.report.render import write_report
from automl_img.runs import Run
from tests.report.golden import golden_run
from tests.report.html import Page


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with its report written; tests must not change it."""
    run = golden_run(tmp_path_factory.mktemp("golden"), images=240)
    write_report(run, strict=True)
    return run


@pytest.fixture(scope="session")
def page(golden: Run) -> Page:
    return Page.of(golden.report)
