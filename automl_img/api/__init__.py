"""The public functions; each command of the command line calls one of them."""

from automl_img.api.images import check_data, preview_data
from automl_img.api.jobs import (
    fetch_job,
    follow_job,
    job_log,
    list_jobs,
    stop_job,
    submit_resume,
    submit_search,
)
from automl_img.api.machines import doctor
from automl_img.api.runs import (
    RUNS,
    export_model,
    list_runs,
    load_run,
    predict,
    verdict,
    write_report,
)
from automl_img.api.searches import plan, reproduce, resume, search
from automl_img.api.spaces import PresetSummary, list_spaces, load_space, new_space

__all__ = [
    "RUNS",
    "PresetSummary",
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
    "verdict",
    "write_report",
]
