from __future__ import annotations

import pytest

from automl_img.report.privacy import without_paths, without_paths_in


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("search /home/alice/photos/pets --budget 3", "search …/pets --budget 3"),
        ("--out=/srv/runs", "--out=…/runs"),
        ("--data /home/alice", "--data …"),
        ("~/photos/pets", "…/pets"),
        ("C:\\Users\\alice\\pets", "…/pets"),
        ("\\\\server\\share\\pets", "…/pets"),
        ("file:///data/pets.zip", "…/pets.zip"),
        ("--storage postgresql://alice@db.lab:5432/studies", "--storage postgresql://…/studies"),
        ("cannot read '/data/a b/c.png': no such file", "cannot read '…/a b/c.png': no such file"),
    ],
)
def test_absolute_paths_are_cut_to_their_last_part(text: str, kept: str) -> None:
    assert without_paths(text) == kept


@pytest.mark.parametrize(
    "text", ["digits", "photos/pets", "and/or", "0.5 / 2", "</script>", "3:4", "a: b", "runs\\x"]
)
def test_everything_else_stays(text: str) -> None:
    assert without_paths(text) == text


def test_json_values_are_cut_at_every_depth() -> None:
    value = {"a": ["/x/y/z", 1, None], "b": {"c": "/x/y"}}
    assert without_paths_in(value) == {"a": ["…/z", 1, None], "b": {"c": "…/y"}}
