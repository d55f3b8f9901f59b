from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import plotly.graph_objects as go
import pytest

from automl_img.plugins import leaf_names, leaves
from automl_img.report import sections
from automl_img.report.blocks import Section, Skipped
from automl_img.report.card import load_card
from automl_img.report.render import build_sections, page, write_report
from automl_img.runs import Run, create_run
from tests.report.golden import golden_run
from tests.report.html import Page

MEGABYTE = 1_000_000


def test_the_page_has_the_verdict_and_every_section(golden: Run, page: Page) -> None:
    assert set(leaf_names(sections)) <= set(page.ids)
    assert "test accuracy" in page.text
    summary = json.loads((golden.path / "report.json").read_text())["sections"]
    skipped = {name for name, section in summary.items() if section["status"] != "built"}
    # Of the others a finished run has something; these are for those who ask for it.
    assert skipped == {"coarse", "ensemble", "probes", "tradeoffs"}


def test_every_id_is_there_once_and_every_link_leads_somewhere(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    links = {str(attributes["href"])[1:] for tag, attributes in page.elements if tag == "a"}
    assert links <= set(page.ids)


def test_plotly_is_on_the_page_exactly_once(golden: Run, page: Page) -> None:
    from plotly.offline import get_plotlyjs

    assert page.plotly() == get_plotlyjs()
    assert sum(attributes.get("id") == "plotly" for attributes, _ in page.scripts) == 1
    assert golden.report.stat().st_size < 3 * MEGABYTE


def test_another_process_at_another_time_gives_the_same_bytes(golden: Run) -> None:
    code = "import sys, pathlib, time; time.time = lambda: 1.7e9\n"
    code += "from automl_img.report.render import write_report\nfrom automl_img.runs import Run\n"
    code += "write_report(Run(pathlib.Path(sys.argv[1])))"
    before = golden.report.read_bytes()
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    command = [sys.executable, "-c", code, str(golden.path)]
    subprocess.run(command, check=True, env=environment)
    assert golden.report.read_bytes() == before


def test_nothing_on_the_page_asks_the_network(golden: Run, page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = str(attributes.get(name) or "#")
            assert value.startswith(("#", "data:")), f"{tag} {name}={value[:60]}"
    assert not re.search(r"url\(|@import|https?://", _style(golden))
    assert "default-src 'none'" in page.policy()


def test_the_policy_names_every_script_that_runs_and_no_other(page: Page) -> None:
    running = [text for attributes, text in page.scripts if "type" not in attributes]
    wanted = {_hash(text) for text in [*running, page.plotly()]}
    assert set(re.findall(r"'sha256-([^']+)'", page.policy())) == wanted
    assert "unsafe-eval" not in page.policy()


def test_the_same_run_gives_the_same_bytes(golden: Run) -> None:
    first = golden.report.read_bytes(), (golden.path / "report.json").read_bytes()
    write_report(golden)
    assert (golden.report.read_bytes(), (golden.path / "report.json").read_bytes()) == first


def test_every_figure_is_one_that_plotly_knows_and_light(page: Page) -> None:
    figures = page.figures()
    assert len(figures) >= 12
    for name, figure in figures.items():
        go.Figure(data=figure["data"], layout=figure["layout"])
        assert len(json.dumps(figure)) < MEGABYTE / 2, name
        assert "template" not in figure["layout"]


def test_the_numbers_of_the_page_are_those_of_report_json(golden: Run, page: Page) -> None:
    summary = json.loads((golden.path / "report.json").read_text(encoding="utf-8"))["sections"]
    test = json.loads((golden.path / "test.json").read_text(encoding="utf-8"))
    tiles = {tile["name"]: tile for tile in summary["scores"]["tiles"]}
    assert tiles["Accuracy"]["value"] == test["accuracy"] == summary["verdict"]["accuracy"]
    for tile in tiles.values():
        assert tile["name"] in page.text
        assert tile["shown"] in page.text
    for finding in summary["findings"]["findings"]:
        assert finding["text"] in page.text
    title = re.search(r"<title>([\d.]+)", golden.report.read_text(encoding="utf-8"))
    assert title
    assert title.group(1) == tiles["Accuracy"]["shown"]


def test_the_graphs_that_were_traced_are_counted_and_shown_for_each_trial(page: Page) -> None:
    assert "8 graphs traced for 19 trials" in page.text
    assert "Graphs traced" in page.text


def test_without_javascript_the_numbers_and_the_images_are_there(page: Page) -> None:
    tables = [attributes.get("id") for tag, attributes in page.elements if tag == "table"]
    assert {"table-trials", "table-classes", "table-confusion"} <= set(tables)
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(pictures) == 24
    assert all(re.match(r"test image \d+: true .+, predicted", str(p["alt"])) for p in pictures)


def test_it_can_be_read_without_seeing(page: Page) -> None:
    tags = [tag for tag, _ in page.elements]
    assert tags.count("main") == tags.count("h1") == 1
    assert dict(page.elements)["html"]["lang"] == "en"
    for tag, attributes in page.elements:
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
        if attributes.get("class") == "plot":
            assert attributes["role"] == "img"
            assert attributes["aria-labelledby"] in page.ids


def test_no_path_of_this_machine_is_on_the_page(tmp_path: Path) -> None:
    run = golden_run(
        tmp_path,
        command="automl-img search '/home/alice/My Photos' --out=/srv/alice/runs",
        error="cannot open C:\\Users\\alice\\photos\\x.png nor /home/alice/photos/y.png",
    )
    text = write_report(run, strict=True).read_text(encoding="utf-8")
    assert "alice" not in text
    assert str(tmp_path) not in text
    assert "y.png" in text


@pytest.mark.parametrize("file", leaves(sections), ids=lambda file: file.__name__)
def test_a_section_has_a_place_and_survives_an_empty_run(file: object, tmp_path: Path) -> None:
    card = load_card(create_run(tmp_path, "empty", {}))
    assert isinstance(file.ORDER, int)  # type: ignore[attr-defined]
    assert isinstance(file.build(card), (Section, Skipped))  # type: ignore[attr-defined]


def test_the_time_between_two_sessions_is_not_on_the_timeline(golden: Run) -> None:
    from automl_img.report.sections import search

    card = load_card(golden)
    start = min(trial.started for trial in card.trials)
    sessions = [[start - 5, start + 10], [start + 100, start + 200]]
    card = dataclasses.replace(card, info={**card.info, "sessions": sessions})
    seconds = [search._seconds_until(card, start + after) for after in (0, 8, 105)]
    assert seconds == pytest.approx([0, 8, 15])


def test_a_section_that_fails_becomes_a_box_and_strict_raises(
    golden: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_img.report.sections import confusion

    def fail(card: object) -> Section:
        raise ValueError("<b>boom</b>")

    monkeypatch.setattr(confusion, "build", fail)
    card = load_card(golden)
    text = Page(page(card, build_sections(card))).text
    assert "could not be built: ValueError: <b>boom</b>" in text
    assert "Test results" in text
    with pytest.raises(ValueError, match="boom"):
        build_sections(card, strict=True)


def test_importing_the_report_loads_nothing_heavy() -> None:
    code = "import sys, automl_img.report.render, automl_img.report.verdict; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"plotly", "optuna", "jinja2", "sklearn", "scipy", "keras", "tensorflow", "ray"}
    assert not heavy & set(done.stdout.split())


def _style(run: Run) -> str:
    found = re.search(r"<style>(.*?)</style>", run.report.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found.group(1)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_suspected_labels_are_listed_or_how_to_look_for_them_is_said(tmp_path: Path) -> None:
    run = golden_run(tmp_path)
    suspects = {"part": "test", "name": "photos/<odd>.png", "label": 1, "more_probable": 2}
    found = {"images": 250, "suspected": 2, "shown": [{**suspects, "probability": 0.0123}]}
    run.write_json("label_errors.json", found)
    text = Page.of(write_report(run, strict=True)).text
    assert "Of 250 images" in text
    assert "have a label that is probably wrong" in text
    assert "photos/<odd>.png" in text
    assert "0.0123" in text
    run.write_json("label_errors.json", {**found, "accuracy": 0.46, "suspected": None, "shown": []})
    text = Page.of(write_report(run, strict=True)).text
    assert "agree with 46" in text
    (run.path / "label_errors.json").unlink()
    assert "automl-img[labels]" in Page.of(write_report(run, strict=True)).text
