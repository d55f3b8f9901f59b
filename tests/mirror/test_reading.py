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
from tests.data.servers import AnyBucket
from tests.report.golden import golden_run


@pytest.fixture
def golden(tmp_path: Path, any_bucket: AnyBucket) -> Run:
    """A run, and the same in the any_bucket."""
    run = golden_run(tmp_path / "made")
    (run.path / "trials" / "00001").mkdir(parents=True)
    (run.path / "trials" / "00001" / "checkpoint.npz").write_bytes(b"large")
    any_bucket.put_folder(run.path, "runs/golden")
    any_bucket.put("runs/of-something-else/notes.txt", b"no run")
    return run


def test_runs_are_listed_and_named_as_those_here(golden: Run, any_bucket: AnyBucket) -> None:
    out = any_bucket.url("runs")
    [listed] = list_runs(out)
    assert listed.url == any_bucket.url("runs/golden")
    assert listed.trials() == golden.trials()
    for found in (load_run(None, out), load_run("golden", out), load_run(listed.url)):
        assert (found.name, found.url) == ("golden", listed.url)
        assert found.info == golden.info
    assert list_runs(any_bucket.url("nowhere")) == []
    with pytest.raises(RunError, match=rf"no run 'other' at {out}; runs there: golden"):
        load_run("other", out)
    with pytest.raises(RunError, match=rf"no run at {any_bucket.url('nowhere')}"):
        load_run(None, any_bucket.url("nowhere"))
    with pytest.raises(SettingsError, match="takes no files"):
        list_runs("https://host/runs")


def test_what_only_a_search_needs_is_not_fetched_and_nothing_is_fetched_twice(
    golden: Run, any_bucket: AnyBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    get = download._get

    def noted(server: object, file: download.RemoteFile, *more: object) -> None:
        fetched.append(file.name)
        get(server, file, *more)

    monkeypatch.setattr(download, "_get", noted)
    run = load_run(any_bucket.url("runs/golden"))
    assert "test.json" in fetched
    assert not [name for name in fetched if name.startswith(("trials/", "study.db"))]
    fetched.clear()
    any_bucket.put("runs/golden/test.json", b'{"accuracy": 0.125}')
    assert (run.path / "label_errors.json").exists()
    any_bucket.delete("runs/golden/label_errors.json")
    again = load_run(any_bucket.url("runs/golden"))
    assert fetched == ["test.json"]
    assert (again.read_json("test.json") or {})["accuracy"] == 0.125
    assert again.path == run.path
    assert not (again.path / "label_errors.json").exists()


def test_report_export_and_warm_start_take_a_url(
    golden: Run, any_bucket: AnyBucket, tmp_path: Path
) -> None:
    url = any_bucket.url("runs/golden")
    any_bucket.put("runs/golden/model.keras", b"model")
    page = write_report(url)
    assert page.is_file()
    assert any_bucket.keys("runs/golden/report.html") == []
    assert (
        export_model(tmp_path / "x.keras", "golden", any_bucket.url("runs")).read_bytes()
        == b"model"
    )
    for names in ([url], ["golden"], ["auto"]):
        [found] = resolve(names, any_bucket.url("runs"))
        assert found.trials() == golden.trials()


def test_commands_take_urls_and_refuse_in_a_sentence(golden: Run, any_bucket: AnyBucket) -> None:
    def said(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "automl_img", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, text = said("runs", "--out", any_bucket.url("runs"))
    assert (code, "golden" in text) == (0, True)
    nowhere = f"{any_bucket.scheme}://nowhere-at-all/runs"
    code, text = said("search", "digits", "--out", nowhere)
    assert code == 1
    assert f"error: runs cannot be written to {nowhere}: " in text
    assert "Traceback" not in text
    assert "reading" not in text
    code, text = said("search", "digits", "--out", "https://host/runs")
    assert (code, "takes no files" in text) == (2, True)
