"""What an audit finds in folders that were made so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from sklearn.datasets import load_sample_image

from automl_img import check_data, preview_data
from automl_img.data import memo, worker
from automl_img.data.audit import Audit, Finding
from automl_img.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 30 parts of photos each, no two of which are alike; no splits."""
    root = tmp_path / "photos"
    for name in ("china", "flower"):
        (root / name).mkdir(parents=True)
        photo = Image.fromarray(load_sample_image(f"{name}.jpg"))
        for number in range(30):
            left, top = 76 * (number % 8), 150 + 68 * (number // 8)
            photo.crop((left, top, left + 60, top + 60)).save(root / name / f"{number:02d}.png")
    return root


def splits(root: Path) -> Path:
    """The same images with every fifth one for the test, every fifth for validation."""
    target = root.parent / "splits"
    for path in sorted(root.glob("*/*.png")):
        part = {0: "test", 1: "val"}.get(int(path.stem) % 5, "train")
        (target / part / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target / part / path.parent.name)
    return target


def of(audit: Audit, kind: str) -> Finding:
    [found] = [finding for finding in audit.findings if finding.kind == kind]
    return found


def names(audit: Audit, finding: Finding) -> list[set[str]]:
    return [{audit.index.names[row] for row in group} for group in finding.groups]


def test_sound_data_have_nothing_to_say(folder: Path) -> None:
    assert [f.kind for f in check_data(folder).findings if f.severity != "note"] == []


def test_a_copy_across_parts_is_an_error_and_both_images_are_named(folder: Path) -> None:
    root = splits(folder)
    original = Image.open(root / "train" / "flower" / "12.png")
    original.resize((45, 45)).save(root / "test" / "flower" / "again.jpg", quality=70)
    audit = check_data(root)
    found = of(audit, "copies across parts")
    assert found.severity == "error"
    assert found == audit.findings[0]
    assert found.sentence.startswith("1 test image is a copy")
    assert {"test/flower/again.jpg", "train/flower/12.png"} in names(audit, found)


def test_of_many_copies_one_of_each_part_comes_first(folder: Path, tmp_path: Path) -> None:
    root = splits(folder)
    for number in range(8):
        shutil.copy(
            root / "train" / "flower" / "12.png", root / "test" / "flower" / f"a{number}.png"
        )
    audit = check_data(root, html=tmp_path / "page.html")
    [group] = of(audit, "copies across parts").groups
    assert len(group) == 9
    assert {audit.part_of(row) for row in group[:2]} == {"train", "test"}
    assert "3 more copies of it not shown" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_copies_with_other_labels_are_told(folder: Path) -> None:
    shutil.copy(folder / "flower" / "12.png", folder / "china" / "wrong.png")
    audit = check_data(folder)
    found = of(audit, "conflicting labels")
    assert names(audit, found) == [{"flower/12.png", "china/wrong.png"}]
    assert "1 group of copies has different labels" in found.sentence


def test_what_looks_odd_is_named(folder: Path) -> None:
    Image.new("RGB", (60, 60), "orange").save(folder / "china" / "flat.png")
    photo = Image.open(folder / "china" / "12.png")
    Image.fromarray(np.asarray(photo) // 7).save(folder / "china" / "dark.png")
    photo.filter(ImageFilter.GaussianBlur(8)).save(folder / "flower" / "blurred.png")
    audit = check_data(folder)
    for kind in ("flat", "dark", "blurred"):
        assert {f"{'flower' if kind == 'blurred' else 'china'}/{kind}.png"} in names(
            audit, of(audit, kind)
        )


def test_small_and_uneven_classes_are_told(folder: Path) -> None:
    for path in sorted((folder / "flower").iterdir())[5:]:
        path.unlink()
    audit = check_data(folder)
    assert "1 class has fewer than 20 images ('flower')" in of(audit, "tiny classes").sentence
    assert "china, has 30 images, the smallest, flower, has 5" in of(audit, "imbalance").sentence


def test_what_cannot_be_decoded_is_told_with_its_reason(folder: Path) -> None:
    path = folder / "china" / "00.png"
    path.write_bytes(path.read_bytes()[:-2000])
    audit = check_data(folder)
    assert "1 image cannot be used (first: china/00.png: truncated)" in (
        of(audit, "unreadable").sentence
    )
    assert len(audit.appearances) == len(audit.index) == 59


def test_data_that_cannot_be_split_are_audited_all_the_same_and_have_no_parts(
    folder: Path, tmp_path: Path
) -> None:
    shutil.rmtree(folder / "china")
    page = tmp_path / "page.html"
    audit = check_data(folder, html=page)
    assert "at least two classes" in of(audit, "unusable").sentence
    assert audit.counts == {"all": {"flower": 30}}
    assert audit.to_json()["counts"] == {"all": {"flower": 30}}
    assert audit.part_of(0) == ""
    assert '<th scope="col" class="n">all</th></tr>' in page.read_text(encoding="utf-8")


def test_the_page_has_the_pictures_and_escapes_names(folder: Path, tmp_path: Path) -> None:
    (folder / "<b>bold").mkdir()
    shutil.copy(folder / "flower" / "12.png", folder / "<b>bold" / "&copy.png")
    page = tmp_path / "check.html"
    check_data(folder, html=page)
    text = page.read_text(encoding="utf-8")
    assert "<b>bold" not in text
    assert "&lt;b&gt;bold/&amp;copy.png" in text
    assert text.count("data:image/webp;base64,") >= 2
    assert "<script" not in text
    check_data(folder, html=tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_a_page_that_cannot_be_written_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        check_data(folder, html=tmp_path / "photos" / "china" / "00.png" / "page.html")


def test_the_next_look_opens_no_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The files are as old as those of users.
    monkeypatch.setattr(memo, "RACY_NS", -(10**12))
    before = check_data(folder).to_json()

    def opened(*_: object) -> None:
        raise AssertionError("an image was opened")

    for name in ("inspect", "decode", "read"):
        monkeypatch.setattr(worker, name, opened)
    assert check_data(folder).to_json() == before


def test_where_no_image_can_be_decoded_it_is_a_sentence(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "floats" / name).mkdir(parents=True)
        pixels = np.zeros((20, 20), np.float32)
        for number in range(4):
            Image.fromarray(pixels + number).save(tmp_path / "floats" / name / f"{number}.tif")
    with pytest.raises(DataError, match="not one image can be decoded"):
        check_data(tmp_path / "floats")


def test_coarser_classes_are_counted_by_part(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "china", folder / "roof")
    kinds = {"china": "building", "roof": "building", "flower": "plant"}
    rows = [
        f"{path},{path.parent.name},{kinds[path.parent.name]}" for path in folder.rglob("*.png")
    ]
    table = folder / "labels.csv"
    table.write_text("path,label,kind\n" + "\n".join(rows))
    page = tmp_path / "page.html"
    audit = check_data(table, html=page, coarse_column="kind")
    found = audit.coarse_counts
    assert found is not None
    for part, counts in audit.counts.items():
        assert found[part] == {
            "building": counts["china"] + counts["roof"],
            "plant": counts["flower"],
        }
    assert sum(sum(each.values()) for each in found.values()) == 90
    assert audit.to_json()["coarse_counts"] == found
    assert "Images of each coarser class" in page.read_text(encoding="utf-8")
    assert check_data(table).to_json()["coarse_counts"] is None
    shown = preview_data(table, html=tmp_path / "preview.html", coarse_column="kind")
    assert "roof (building)</h2>" in shown.read_text(encoding="utf-8")
