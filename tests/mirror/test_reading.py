from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from automl_img import export_model, list_runs, load_run, write_report
from automl_img.errors import RunError, SettingsError
from automl_img.mirror import download
from automl_img.runs import Run
from automl_img.search.history import resolve
from tests.data.servers import Bucket
from tests.report.golden import golden_run


@pytest.fixture
def golden(tmp_path: Path, bucket: Bucket) -> Run:
    """A run, and the same in the bucket."""
    run = golden_run(tmp_path / "made")
    (run.path / "trials" / "00001").mkdir(parents=True)
    (run.path / "trials" / "00001" / "checkpoint.npz").write_bytes(b"large")
    bucket.put_folder(run.path, "runs/golden")
    bucket.put("runs/of-something-else/notes.txt", b"no run")
    return run


def test_runs_are_listed_and_named_as_those_here(golden: Run, bucket: Bucket) -> None:
    out = bucket.url("runs")
    [listed] = list_runs(out)
    assert listed.url == bucket.url("runs/golden")
    assert listed.trials() == golden.trials()
    for found in (load_run(None, out), load_run("golden", out), load_run(listed.url)):
        assert (found.name, found.url) == ("golden", listed.url)
        assert found.info == golden.info
    assert list_runs(bucket.url("nowhere")) == []
    with pytest.raises(RunError, match=rf"no run 'other' at {out}; runs there: golden"):
        load_run("other", out)
    with pytest.raises(RunError, match=rf"no run at {bucket.url('nowhere')}"):
        load_run(None, bucket.url("nowhere"))
    with pytest.raises(SettingsError, match="takes no files"):
        list_runs("https://host/runs")


def test_what_only_a_search_needs_is_not_fetched_and_nothing_is_fetched_twice(
    golden: Run, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    get = download._get

    def noted(server: object, file: download.RemoteFile, *more: object) -> None:
        fetched.append(file.name)
        get(server, file, *more)

    monkeypatch.setattr(download, "_get", noted)
    run = load_run(bucket.url("runs/golden"))
    assert "test.json" in fetched
    assert not [name for name in fetched if name.startswith(("trials/", "study.db"))]
    fetched.clear()
    bucket.put("runs/golden/test.json", b'{"accuracy": 0.125}')
    bucket.delete("runs/golden/space.yaml")
    again = load_run(bucket.url("runs/golden"))
    assert fetched == ["test.json"]
    assert (again.read_json("test.json") or {})["accuracy"] == 0.125
    assert again.path == run.path
    assert not (again.path / "space.yaml").exists()


def test_report_export_and_warm_start_take_a_url(
    golden: Run, bucket: Bucket, tmp_path: Path
) -> None:
    url = bucket.url("runs/golden")
    bucket.put("runs/golden/model.keras", b"model")
    page = write_report(url)
    assert page.is_file()
    assert bucket.keys("runs/golden/report.html") == []
    assert export_model(tmp_path / "x.keras", "golden", bucket.url("runs")).read_bytes() == b"model"
    for names in ([url], ["golden"], ["auto"]):
        [found] = resolve(names, bucket.url("runs"))
        assert found.trials() == golden.trials()


def test_commands_take_urls_and_refuse_in_a_sentence(golden: Run, bucket: Bucket) -> None:
    def said(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "automl_img", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, text = said("runs", "--out", bucket.url("runs"))
    assert (code, "golden" in text) == (0, True)
    code, text = said("search", "digits", "--out", "s3://nowhere-at-all/runs")
    assert code == 1
    assert "error: runs cannot be written to s3://nowhere-at-all/runs: " in text
    assert "Traceback" not in text
    assert "reading" not in text
    code, text = said("search", "digits", "--out", "https://host/runs")
    assert (code, "takes no files" in text) == (2, True)
