"""Search hyperparameters for image classification, and say honestly how good the winner is."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl_img.api import (
        check_data,
        doctor,
        export_model,
        fetch_job,
        follow_job,
        job_log,
        list_jobs,
        list_runs,
        list_spaces,
        load_run,
        load_space,
        new_space,
        plan,
        predict,
        preview_data,
        reproduce,
        resume,
        search,
        stop_job,
        submit_resume,
        submit_search,
        write_report,
    )
    from automl_img.errors import AutomlImgError
    from automl_img.runs import Run

__version__ = "0.1.0"
__all__ = [
    "AutomlImgError",
    "Run",
    "check_data",
    "doctor",
    "export_model",
    "fetch_job",
    "follow_job",
    "job_log",
    "list_jobs",
    "list_runs",
    "list_spaces",
    "load_run",
    "load_space",
    "new_space",
    "plan",
    "predict",
    "preview_data",
    "reproduce",
    "resume",
    "search",
    "stop_job",
    "submit_resume",
    "submit_search",
    "write_report",
]
_ELSEWHERE = {"AutomlImgError": "automl_img.errors", "Run": "automl_img.runs"}


def __getattr__(name: str) -> Any:
    """Import a public name when first asked for: TensorFlow and Ray cost seconds (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'automl_img' has no attribute {name!r}")
    if name == "search":
        return importlib.import_module("automl_img.search")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "automl_img.api")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
