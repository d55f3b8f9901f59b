"""The page in a real browser, under its own policy, in light and in dark."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from automl_img.report.render import write_report
from automl_img.runs import Run
from tests.report.golden import golden_run
from tests.report.html import Page
from tests.report.test_escaping import HOSTILE

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=20000",
)


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on the PATH")
    return str(found)


def visit(browser: str, run: Run, profile: Path, theme: str) -> tuple[str, list[str]]:
    """The page after its scripts ran, and what the browser complained of."""
    scheme = {"dark": 0, "light": 1}[theme]
    done = subprocess.run(
        [
            browser,
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--blink-settings=preferredColorScheme={scheme}",
            "--dump-dom",
            run.report.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theme", "ink"), [("light", "rgb(22, 32, 42)"), ("dark", "rgb(231, 236, 240)")]
)
def test_every_figure_is_drawn_without_a_complaint(
    browser: str, golden: Run, tmp_path: Path, theme: str, ink: str
) -> None:
    page, complaints = visit(browser, golden, tmp_path, theme)
    assert complaints == []
    places = len(Page(page).figures())
    assert places >= 12
    assert f'data-drawn="{places}"' in page
    assert page.count('class="modebar-container"') == places
    assert ink in page
    assert re.search(r"It answers \d+ of 240 test images", page)


@pytest.mark.slow
def test_probabilities_stand_in_a_line_inside_their_picture(browser: str, tmp_path: Path) -> None:
    names = ("Organic semi-skimmed lactose-free milk of happy cows, 1000 ml", "x" * 60, "apple")
    run = golden_run(tmp_path / "runs", names=names)
    write_report(run, strict=True)
    measure = """<script>addEventListener("load", () => {
      const all = [...document.querySelectorAll(".likely .n")];
      const box = (element) => element.getBoundingClientRect();
      const fit = all.filter((each) => box(each).right <= box(each.closest(".picture")).right
        && box(each).height < 1.5 * parseFloat(getComputedStyle(each).lineHeight));
      document.body.dataset.fit = `${fit.length} of ${all.length}`;
    });</script></body>"""
    page = run.report.read_text(encoding="utf-8")
    # The policy of the page lets no other script run.
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    run.report.write_text(page.replace("</body>", measure), encoding="utf-8")
    shown, _ = visit(browser, run, tmp_path / "profile", "light")
    assert re.findall(r'data-fit="([^"]*)"', shown) == ["72 of 72"]


@pytest.mark.slow
def test_hostile_names_run_nothing(browser: str, tmp_path: Path) -> None:
    run = golden_run(tmp_path / "runs", names=HOSTILE, file_name="<img src=x>{row}.png")
    write_report(run, strict=True)
    page, complaints = visit(browser, run, tmp_path / "profile", "light")
    assert complaints == []
    assert "data-drawn" in page
    for tag, attributes in Page(page).elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert not str(attributes.get("href") or "").startswith("http")
    assert not [text for _, text in Page(page).scripts if text.startswith("alert")]
