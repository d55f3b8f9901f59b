"""Class names, file names and error texts come from strangers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automl_img.report.drawing import label, share
from automl_img.report.render import write_report
from automl_img.runs import Run
from tests.report.golden import golden_run
from tests.report.html import Page

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script></style><b>%{x}</b>",
    "{{ 7 * 7 }}{% raw %}",
    "' onmouseover='alert(1)",
    "<a href='https://example.org'>here</a> " + "x" * 400,
    "\u202egpj.exe\x00\x07 $\\frac{1}{2}$ \udcff",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("hostile")
    error = "<script>alert('error')</script>\n<img src=x onerror=alert(2)>"
    run = golden_run(
        folder, names=HOSTILE, file_name="<img src=x>{row}.png", error=error, command=HOSTILE[1]
    )
    run.update_info(hardware={"cpu": HOSTILE[0], "gpus": [HOSTILE[1]]}, status=HOSTILE[0])
    write_report(run, strict=True)
    return run


def test_hostile_names_make_no_element_and_no_attribute(hostile: Run, tmp_path: Path) -> None:
    names = tuple(f"tame {i}" for i in range(len(HOSTILE)))
    tame = golden_run(tmp_path, names=names, file_name="tame{row}.png", error="tame\ntame")
    tame.update_info(hardware={"cpu": "tame", "gpus": ["tame"]}, status="tame")
    assert Page.of(hostile.report).shape == Page.of(write_report(tame, strict=True)).shape


def test_hostile_names_are_shown_as_they_are(hostile: Run) -> None:
    text = Page.of(hostile.report).text
    assert "<script>alert(1)</script>" in text
    assert "{{ 7 * 7 }}{% raw %}" in text
    assert "<script>alert('error')</script>" in text


def test_plotly_gets_no_markup_and_no_template(hostile: Run) -> None:
    for name, figure in Page.of(hostile.report).figures().items():
        for key, text in _strings(figure):
            if key == "names":
                continue  # looked up by the page's script, never drawn
            rest = text.replace("<extra></extra>", "")
            assert "<" not in rest, (name, key, text)
            if key not in ("hovertemplate", "texttemplate"):
                assert "%{" not in text, (name, key, text)


def test_a_label_is_one_short_line() -> None:
    assert label("a\n b\t c") == "a b c"
    assert len(label("x" * 100, 10)) == 10
    assert label("'a' & \"b\"") == "'a' &amp; \"b\""
    assert label("<b>%{x}</b>") == "&lt;b&gt;%&#123;x}&lt;/b&gt;"


def test_only_what_is_1_is_written_as_1() -> None:
    assert [share(value) for value in (1.0, 0.9999, 0.9994, None)] == [
        "1.000",
        ">0.999",
        "0.999",
        "\N{EN DASH}",
    ]


def _strings(value: Any, key: str = "") -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(key, value)]
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in _strings(item, name)]
    if isinstance(value, list):
        return [found for item in value for found in _strings(item, key)]
    return []
