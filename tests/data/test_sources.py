from __future__ import annotations

import io
import os
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from automl_img import plugins
from automl_img.data import sources
from automl_img.data.listing import Columns, Listing, listing_of
from automl_img.data.sources import archive as archive_source
from automl_img.data.sources import builtin
from automl_img.errors import DataError, SettingsError
from automl_img.events import Event, Notice
from tests.pictures import class_folders, picture


def listed(data: Path | str, cache: Path, **columns: str) -> Listing:
    return listing_of(str(data), Columns(**columns), cache)


def write_table(folder: Path, text: str, images: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(images):
        picture("red", 8, rng).save(folder / f"{number}.png")
    table = folder / "labels.csv"
    table.write_text(text, encoding="utf-8")
    return table


def zipped(folder: Path, target: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, os.path.join(inside, path.relative_to(folder)))
    return target


def tarred(folder: Path, target: Path, inside: str = ".") -> Path:
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, inside)
    return target


def example(name: str, tmp_path: Path) -> str:
    photos = class_folders(tmp_path / "photos", per_class=3, size=8)
    if name == "folder":
        return str(photos)
    if name == "table":
        rows = [f"photos/{p.parent.name}/{p.name},{p.parent.name}" for p in photos.rglob("*.png")]
        table = tmp_path / "photos.csv"
        table.write_text("path,label\n" + "\n".join(rows))
        return str(table)
    return str(zipped(photos, tmp_path / "photos.zip")) if name == "archive" else "digits"


@pytest.mark.parametrize("name", plugins.leaf_names(sources))
class TestEverySource:
    def test_takes_its_own_and_says_what(self, name: str, tmp_path: Path) -> None:
        data = example(name, tmp_path)
        taking = [leaf.__name__ for leaf in plugins.leaves(sources) if leaf.accepts(data)]
        assert [taker.rpartition(".")[2] for taker in taking] == [name]
        assert plugins.leaf(sources, name).WHAT

    def test_lists_columns_of_one_length_and_files_that_exist(
        self, name: str, tmp_path: Path, private_cache: Path
    ) -> None:
        found = listed(example(name, tmp_path), private_cache)
        assert found.kind == name
        assert found.name == ("digits" if name == "builtin" else "photos")
        assert len(found.paths) == len(found.names) == len(found.labels) > 0
        assert all(os.path.isabs(path) and os.path.isfile(path) for path in found.paths)
        assert set(found.labels) == set(found.classes)
        assert found.splits is None
        assert not found.left_out

    def test_lists_the_same_twice(self, name: str, tmp_path: Path, private_cache: Path) -> None:
        data = example(name, tmp_path)
        assert listed(data, private_cache) == listed(data, private_cache)


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("Training", "VALID", "Testing"), ("TRAIN", "dev", "test")],
)
def test_split_folders_are_known_by_their_usual_spellings(
    train: str, validation: str, test: str, tmp_path: Path, private_cache: Path
) -> None:
    for at, split in enumerate((train, validation, test)):
        class_folders(tmp_path / "d" / split, per_class=at + 1, size=8, classes=2)
    found = listed(tmp_path / "d", private_cache)
    assert found.splits is not None
    counts = {split: found.splits.count(split) for split in ("train", "validation", "test")}
    assert counts == {"train": 2, "validation": 4, "test": 6}
    assert set(found.labels) == {"blue", "green"}


def test_classes_named_like_splits_stay_classes_when_images_lie_in_them(
    tmp_path: Path, private_cache: Path
) -> None:
    source = class_folders(tmp_path / "source", per_class=2, size=8, classes=2)
    (tmp_path / "vehicles").mkdir()
    (source / "blue").rename(tmp_path / "vehicles" / "train")
    (source / "green").rename(tmp_path / "vehicles" / "test")
    found = listed(tmp_path / "vehicles", private_cache)
    assert found.splits is None
    assert found.classes == ("test", "train")


def test_a_test_folder_without_a_train_folder_is_refused(
    tmp_path: Path, private_cache: Path
) -> None:
    class_folders(tmp_path / "d" / "val", per_class=1)
    class_folders(tmp_path / "d" / "test", per_class=1)
    with pytest.raises(DataError, match="must have a train folder"):
        listed(tmp_path / "d", private_cache)


def test_a_class_is_the_first_folder_and_what_lies_deeper_belongs_to_it(
    tmp_path: Path, private_cache: Path
) -> None:
    class_folders(tmp_path / "d" / "fruit", per_class=2, size=8, classes=2)
    class_folders(tmp_path / "d" / "sweets", per_class=1, size=8, classes=1)
    found = listed(tmp_path / "d", private_cache)
    assert sorted(found.labels) == ["fruit"] * 4 + ["sweets"]
    assert "fruit/blue/000.png" in found.names


def test_hidden_and_other_files_do_not_count_and_loose_images_are_named(
    photos: Path, private_cache: Path
) -> None:
    (photos / "blue" / ".000.png").write_bytes(b"")
    (photos / ".git").mkdir()
    (photos / "blue" / "notes.txt").write_text("none")
    (photos / "blue" / "000.png").rename(photos / "loose.PNG")
    found = listed(photos, private_cache)
    assert len(found.paths) == 59
    assert found.classes == ("blue", "green", "red")
    assert [(item.name, item.reason) for item in found.left_out] == [
        ("loose.PNG", "not in a class folder")
    ]


def test_links_that_lead_in_circles_or_nowhere_end(photos: Path, private_cache: Path) -> None:
    (photos / "blue" / "up").symlink_to(photos, target_is_directory=True)
    (photos / "blue" / "self").symlink_to("self")
    (photos / "blue" / "again").symlink_to(photos / "blue", target_is_directory=True)
    (photos / "blue" / "gone.png").symlink_to(photos / "nowhere.png")
    os.mkfifo(photos / "red" / "pipe.png")
    found = listed(photos, private_cache)
    assert len(found.paths) == 60
    assert [item.name for item in found.left_out] == ["blue/gone.png", "red/pipe.png"]


def test_classes_that_differ_by_case_are_two(photos: Path, private_cache: Path) -> None:
    class_folders(photos / "x", per_class=2, size=8, classes=1)
    (photos / "x" / "blue").rename(photos / "Blue")
    (photos / "x").rmdir()
    assert {"Blue", "blue"} <= set(listed(photos, private_cache).classes)


def test_names_that_are_no_unicode_can_be_shown_and_opened(
    photos: Path, private_cache: Path
) -> None:
    odd = os.fsencode(photos / "blue") + b"/\xff.png"
    os.rename(photos / "blue" / "000.png", odd)
    found = listed(photos, private_cache)
    at = next(at for at, name in enumerate(found.names) if "udcff" in name)
    assert found.names[at].encode("utf-8")
    assert os.path.isfile(found.paths[at])


def test_single_folders_around_the_classes_are_passed(
    photos: Path, private_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "outer" / "middle").mkdir(parents=True)
    photos.rename(tmp_path / "outer" / "middle" / "photos")
    assert listed(tmp_path / "outer", private_cache).classes == ("blue", "green", "red")


def test_a_flat_folder_with_a_table_points_to_the_table(
    tmp_path: Path, private_cache: Path
) -> None:
    write_table(tmp_path / "d", "path,label\n0.png,a\n")
    with pytest.raises(DataError, match=r"labels\.csv"):
        listed(tmp_path / "d", private_cache)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_a_table_may_use_any_usual_delimiter_and_a_byte_order_mark(
    mark: str, tmp_path: Path, private_cache: Path
) -> None:
    rows = [["File_Name", "Category", "subset"], ["0.png", "a, b", "TRAIN"], ["1.png", "c", "dev"]]
    quoted = "\r\n".join(mark.join(f'"{cell}"' for cell in row) for row in rows)
    table = write_table(tmp_path / "d", "\ufeff" + quoted)
    found = listed(table, private_cache)
    assert found.labels == ("a, b", "c")
    assert found.splits == ("train", "validation")


def test_a_table_leaves_out_rows_that_name_no_image_or_label(
    tmp_path: Path, private_cache: Path
) -> None:
    text = "path,label\n0.png,a\nsub\\1.png,b\n2.png,\n9.png,lost\n,a\n\n"
    table = write_table(tmp_path / "d", text)
    (tmp_path / "d" / "sub").mkdir()
    (tmp_path / "d" / "1.png").rename(tmp_path / "d" / "sub" / "1.png")
    found = listed(table, private_cache)
    assert found.names == ("0.png", "sub/1.png")
    assert [(item.name, item.reason) for item in found.left_out] == [
        ("2.png", "no label in the table"),
        ("9.png", "no such file"),
        ("(no path)", "no path in the table"),
    ]
    assert found.classes == ("a", "b", "lost")


def test_columns_can_be_named_and_a_wrong_name_gets_a_hint(
    tmp_path: Path, private_cache: Path
) -> None:
    table = write_table(tmp_path / "d", "where,fine,coarse,part\n0.png,x,y,train\n")
    found = listed(table, private_cache, path="where", label="coarse", split="part")
    assert (found.labels, found.splits) == (("y",), ("train",))
    with pytest.raises(SettingsError, match="did you mean 'coarse'"):
        listed(table, private_cache, path="where", label="coarce")
    with pytest.raises(SettingsError, match="name it with --path-column"):
        listed(table, private_cache)


def test_an_unknown_split_in_a_table_is_refused(tmp_path: Path, private_cache: Path) -> None:
    table = write_table(tmp_path / "d", "path,label,set\n0.png,a,holdout\n")
    with pytest.raises(DataError, match="'holdout'"):
        listed(table, private_cache)


def test_a_table_that_is_no_text_is_refused(tmp_path: Path, private_cache: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"path,label\n\xff\xfe\x00,a\n")
    with pytest.raises(DataError, match="UTF-8"):
        listed(tmp_path / "t.csv", private_cache)


def test_columns_need_a_table(photos: Path, private_cache: Path) -> None:
    with pytest.raises(SettingsError, match="--label-column needs a table"):
        listed(photos, private_cache, label="x")
    with pytest.raises(SettingsError, match="--split-column needs a table"):
        listed("digits", private_cache, split="x")


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("inside", ["", "wrapped/twice"])
def test_an_archive_gives_what_its_folder_gives(
    pack: Callable[..., Path], inside: str, photos: Path, private_cache: Path, tmp_path: Path
) -> None:
    suffix = ".zip" if pack is zipped else ".tar.gz"
    found = listed(pack(photos, tmp_path / f"p{suffix}", inside or "."), private_cache)
    assert found.labels == listed(photos, private_cache).labels
    assert (found.name, found.kind) == ("p", "archive")


def test_a_table_in_an_archive_wins_over_its_folders_but_stays_inside(
    tmp_path: Path, private_cache: Path
) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    text = "path,label\nx/0.png,a\nx/1.png,b\n../../secret.png,a\n/etc/passwd,a\n"
    write_table(tmp_path / "d" / "x", "")
    (tmp_path / "d" / "x" / "labels.csv").unlink()
    write_table(tmp_path / "d", text, images=0)
    found = listed(zipped(tmp_path / "d", tmp_path / "d.zip"), private_cache)
    assert found.labels == ("a", "b")
    assert [item.reason for item in found.left_out] == ["no such file"] * 2


def test_nothing_in_an_archive_is_written_outside(photos: Path, private_cache: Path) -> None:
    target = zipped(photos, photos.parent / "evil.zip")
    link = zipfile.ZipInfo("blue/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("../../../escaped.png", b"x")
        archive.writestr("/absolute.png", b"x")
        archive.writestr("C:\\drive.png", b"x")
        archive.writestr(link, "/etc/passwd")
    found = listed(target, private_cache)
    assert len(found.paths) == 60
    assert sorted(item.name for item in found.left_out) == [
        "../../../escaped.png",
        "/absolute.png",
        "C:/drive.png",
        "blue/link.png",
    ]
    assert not list(private_cache.parent.glob("**/escaped.png"))


def test_links_and_devices_in_a_tar_file_are_left_out(photos: Path, private_cache: Path) -> None:
    target = photos.parent / "evil.tar"
    with tarfile.open(target, "w") as archive:
        archive.add(photos, "photos")
        for name, kind in (("s", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(f"photos/blue/{name}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        up = tarfile.TarInfo("../up.png")
        up.size = 1
        archive.addfile(up, io.BytesIO(b"x"))
    found = listed(target, private_cache)
    assert len(found.paths) == 60
    assert len(found.left_out) == 4
    assert not any(path.is_symlink() for path in private_cache.rglob("*"))


def test_an_archive_that_unpacks_to_too_much_is_refused(
    photos: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_source, "MAX_BYTES", 1000)
    for target in (
        zipped(photos, photos.parent / "p.zip"),
        tarred(photos, photos.parent / "p.tgz"),
    ):
        with pytest.raises(DataError, match="must unpack to at most"):
            listed(target, private_cache)
    assert not list(private_cache.rglob("*.png"))


def test_a_damaged_archive_is_one_sentence_and_leaves_nothing(
    photos: Path, private_cache: Path
) -> None:
    whole = tarred(photos, photos.parent / "p.tgz")
    whole.write_bytes(whole.read_bytes()[:2000])
    (photos.parent / "q.zip").write_bytes(b"no zip at all")
    for target in (whole, photos.parent / "q.zip"):
        with pytest.raises(DataError, match="must be a whole zip or tar file"):
            listed(target, private_cache)
    assert not list(private_cache.rglob("*.png"))


def test_one_damaged_member_costs_one_image(photos: Path, private_cache: Path) -> None:
    target = zipped(photos, photos.parent / "p.zip")
    data = target.read_bytes()
    first = (photos / "blue" / "000.png").read_bytes()
    target.write_bytes(data.replace(first, first[:-9] + b"123456789"))
    found = listed(target, private_cache)
    assert len(found.paths) == 59
    assert "damaged" in found.left_out[0].reason


def test_an_encrypted_archive_is_refused(photos: Path, private_cache: Path) -> None:
    target = zipped(photos, photos.parent / "p.zip")
    data = bytearray(target.read_bytes())
    at = data.index(b"PK\x01\x02")
    while at != -1:
        data[at + 8] |= 1
        at = data.find(b"PK\x01\x02", at + 4)
    target.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        listed(target, private_cache)


def test_data_of_no_known_kind_is_told_what_is_taken(tmp_path: Path, private_cache: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist; did you mean 'digits'.*zip or tar"):
        listed("digts", private_cache)
    (tmp_path / "x.pdf").write_bytes(b"")
    with pytest.raises(DataError, match="of no known kind"):
        listed(tmp_path / "x.pdf", private_cache)
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no folder"):
        listed(tmp_path / "empty", private_cache)


def test_the_digits_are_those_of_scikit_learn(private_cache: Path) -> None:
    found = listed("digits", private_cache)
    assert len(found.paths) == 1797
    assert found.classes == tuple("0123456789")


@pytest.mark.parametrize("data", ["", "~nobody-at-all/x", "a\0b", "x" * 5000])
def test_what_cannot_be_a_path_is_refused_like_any_other(data: str, private_cache: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        listed(data, private_cache)


def fake_keras(monkeypatch: pytest.MonkeyPatch, load: Callable[[], object]) -> None:
    # Importing Keras takes seconds, and its data sets need a network.
    datasets = SimpleNamespace(fashion_mnist=SimpleNamespace(load_data=load))
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(datasets=datasets))


def test_a_downloaded_set_keeps_its_test_split_and_is_downloaded_once(
    private_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def load() -> object:
        calls.append(1)
        print("Downloading")
        images = np.arange(30 * 28 * 28).reshape(30, 28, 28).astype(np.uint8)
        labels = np.arange(30).astype(np.uint8) % 10
        return (images[:20], labels[:20]), (images[20:], labels[20:])

    fake_keras(monkeypatch, load)
    for _ in range(2):
        found = listed("fashion_mnist", private_cache)
    assert calls == [1]
    assert found.splits is not None
    assert (found.splits.count("train"), found.splits.count("test")) == (20, 10)
    assert (found.name, found.kind) == ("fashion_mnist", "builtin")
    assert "ankle boot" in found.classes
    assert capsys.readouterr().out == ""


def test_a_set_that_cannot_be_downloaded_is_one_sentence(
    private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> object:
        raise Exception("URL fetch failure: no such host\nmore")

    fake_keras(monkeypatch, load)
    with pytest.raises(DataError, match=r"no such host\); connect to the network.*'digits'"):
        listed("fashion_mnist", private_cache)
    assert not list((private_cache / "builtin").glob("*/"))


def test_every_class_of_a_built_in_set_has_a_name_of_its_own() -> None:
    counts = {name: len(set(names)) for name, names in builtin.CLASSES.items()}
    assert counts == {
        "digits": 10,
        "mnist": 10,
        "fashion_mnist": 10,
        "cifar10": 10,
        "cifar100": 100,
    }


def test_a_built_in_name_comes_before_a_folder_and_says_so(
    photos: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.rename(photos.parent / "digits")
    monkeypatch.chdir(photos.parent)
    events: list[Event] = []
    assert listing_of("digits", Columns(), private_cache, events.append).kind == "builtin"
    assert any("say ./digits" in event.text for event in events if isinstance(event, Notice))
    assert listed("./digits", private_cache).kind == "folder"
