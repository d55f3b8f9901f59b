"""Odd images, tables and archives, each with what is to become of it.

``USED`` is an image like any other. Else an outcome is a part of the reason with which an image is
left out, or, for whole tables and archives, of the sentence with which they are refused.
docs/odd-data.md lists them for users.
"""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.pictures import picture

USED = "used"
NOT_SEEN = "not seen"


@dataclass(frozen=True)
class Odd:
    """One kind.

    Attributes:
        write: writes it into a folder, and returns its path.
        outcome: see this module.
    """

    write: Callable[[Path], Path]
    outcome: str


def photo() -> Image.Image:
    return picture("red", 24, np.random.default_rng(0))


def saved(name: str, image: Image.Image | None = None, **options: object) -> Callable[[Path], Path]:
    """Writes an image as Pillow does."""

    def write(folder: Path) -> Path:
        (image or photo()).save(folder / name, **options)
        return folder / name

    return write


def file(name: str, content: bytes | Callable[[], bytes]) -> Callable[[Path], Path]:
    """Writes bytes."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content())
        return folder / name

    return write


def encoded(form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    photo().save(stream, form, **options)
    return stream.getvalue()


def oriented(orientation: int) -> Callable[[Path], Path]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(f"orientation-{orientation}.jpg", exif=exif)


def png(width: int, height: int, colour: int, interlaced: bool, rows: bytes) -> bytes:
    """A PNG file of 8 bits by hand; ``colour``: 0 for grey, 2 for RGB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def bomb() -> bytes:
    """50,000 x 50,000 pixels: the header, and a few rows."""
    return png(50_000, 50_000, 2, False, b"\0" * 150_001 * 4)


def interlaced() -> bytes:
    """8 x 8 grey pixels in the order of Adam7, which Pillow reads and never writes."""
    # (rows, columns) of its seven passes.
    passes = [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8)]
    rows = b"".join((b"\0" + b"\x80" * columns) * count for count, columns in passes)
    return png(8, 8, 0, True, rows)


def frames(name: str) -> Callable[[Path], Path]:
    """Writes three frames into one file."""
    more = [photo().rotate(90), photo().rotate(180)]
    return saved(name, save_all=True, append_images=more)


def linked(target: str | None) -> Callable[[Path], Path]:
    """Writes a link to an image beside the data, or to nothing."""

    def write(folder: Path) -> Path:
        path = folder / "link.png"
        if target is None:
            path.symlink_to(folder / "nowhere.png")
        else:
            outside = folder.parent.parent / target
            photo().save(outside)
            path.symlink_to(outside)
        return path

    return write


def loop(folder: Path) -> Path:
    """An image in a folder that links to the folder above."""
    inner = folder / "inner"
    inner.mkdir()
    (inner / "again").symlink_to(folder, target_is_directory=True)
    photo().save(inner / "once.png")
    return inner / "once.png"


def pipe(folder: Path) -> Path:
    """Whoever opens it to read waits for ever."""
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


def locked(folder: Path) -> Path:
    """A folder that may not be listed."""
    inner = folder / "locked"
    inner.mkdir()
    photo().save(inner / "unseen.png")
    inner.chmod(0)
    return inner


def deeper(folder: Path) -> Path:
    inner = folder / "2024" / "may"
    inner.mkdir(parents=True)
    photo().save(inner / "deep.png")
    return inner / "deep.png"


def wide(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    return Image.fromarray(pixels)


def palette(transparent: bool) -> Image.Image:
    image = photo().quantize(16)
    if transparent:
        image.info["transparency"] = 0
    return image


def sixteen_bits() -> Image.Image:
    greys = np.random.default_rng(0).integers(0, 65535, (24, 24)).astype(np.uint16)
    return Image.fromarray(greys)


IMAGES: dict[str, Odd] = {
    "truncated jpeg": Odd(file("half.jpg", lambda: encoded("JPEG")[:400]), "truncated"),
    "truncated png": Odd(file("half.png", lambda: encoded()[:-40]), "truncated|broken"),
    "zero bytes": Odd(file("empty.png", b""), "an empty file"),
    "text named jpg": Odd(file("words.jpg", b"not an image at all\n"), "not an image"),
    "html error page named png": Odd(file("404.png", b"<html>404</html>"), "not an image"),
    "random bytes": Odd(file("noise.jpg", np.random.default_rng(0).bytes(2000)), "not an image"),
    "jpeg named png": Odd(file("other.png", lambda: encoded("JPEG")), USED),
    "png named jpg": Odd(file("other.jpg", lambda: encoded("PNG")), USED),
    "cmyk": Odd(saved("cmyk.jpg", photo().convert("CMYK")), USED),
    "16 bit": Odd(saved("deep.png", sixteen_bits()), USED),
    "16 bit tiff": Odd(saved("deep.tif", sixteen_bits()), USED),
    "1 bit": Odd(saved("bits.png", photo().convert("1")), USED),
    "grey with alpha": Odd(saved("la.png", photo().convert("LA")), USED),
    "palette": Odd(saved("palette.png", palette(False)), USED),
    "palette with transparency": Odd(saved("holes.png", palette(True), transparency=0), USED),
    "floating point tiff": Odd(saved("float.tif", photo().convert("F")), "32-bit floats"),
    "animated gif": Odd(frames("moving.gif"), USED),
    "animated webp": Odd(frames("moving.webp"), USED),
    "pages of a tiff": Odd(frames("pages.tiff"), USED),
    "progressive jpeg": Odd(saved("steps.jpg", progressive=True), USED),
    "interlaced png": Odd(file("adam7.png", interlaced), USED),
    **{f"exif orientation {number}": Odd(oriented(number), USED) for number in range(1, 9)},
    "bomb of 50,000 x 50,000": Odd(file("bomb.png", bomb), "larger than 50 megapixels"),
    "1 x 1": Odd(saved("dot.png", wide(1, 1)), USED),
    "3000 x 1": Odd(saved("line.png", wide(3000, 1)), USED),
    "upper case ending": Odd(saved("LOUD.PNG"), USED),
    "spaces": Odd(saved("my best photo .png"), USED),
    "quotes": Odd(saved('it\'s "this" one.png'), USED),
    "newline in the name": Odd(saved("two\nlines.png"), USED),
    "emoji": Odd(saved("\U0001f431.png"), USED),
    "right-to-left text": Odd(saved("תמונה.png"), USED),
    "markup in the name": Odd(saved("[red]<b>&.png"), USED),
    "a name of 250 bytes": Odd(saved("n" * 246 + ".png"), USED),
    "invalid UTF-8": Odd(file(os.fsdecode(b"caf\xe9.png"), lambda: encoded()), USED),
    "link to an image outside": Odd(linked("outside.png"), USED),
    "broken link": Odd(linked(None), "a broken link"),
    "folders that link in a circle": Odd(loop, USED),
    "named pipe": Odd(pipe, "not a plain file"),
    "folder without permission": Odd(locked, "the folder cannot be read"),
    "folders below a class": Odd(deeper, USED),
    "hidden image": Odd(saved(".hidden.png"), NOT_SEEN),
    ".DS_Store": Odd(file(".DS_Store", b"\0\0\0\1Bud1"), NOT_SEEN),
    "Thumbs.db": Odd(file("Thumbs.db", b"\xd0\xcf\x11\xe0"), NOT_SEEN),
    "svg": Odd(file("drawing.svg", b"<svg/>"), NOT_SEEN),
}


def table(text: str | bytes, name: str = "labels.csv") -> Callable[[Path], Path]:
    """Writes a table beside the images 0.png to 3.png and ``sub/4.png``."""

    def write(folder: Path) -> Path:
        rng = np.random.default_rng(0)
        (folder / "sub").mkdir()
        for path in (*(folder / f"{number}.png" for number in range(4)), folder / "sub" / "4.png"):
            picture("red", 12, rng).save(path)
        content = text.replace("{here}", str(folder)) if isinstance(text, str) else text
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return write


PLAIN = "path,label\n0.png,a\n1.png,b\n"
# What becomes of the row of 2.png, or of the whole table.
TABLES: dict[str, Odd] = {
    "byte order mark": Odd(table("\ufeff" + PLAIN + "2.png,a\n"), USED),
    "semicolons": Odd(table(PLAIN.replace(",", ";") + "2.png;a\n"), USED),
    "tabs, named tsv": Odd(table(PLAIN.replace(",", "\t") + "2.png\ta\n", "t.tsv"), USED),
    "quotes": Odd(table(PLAIN + '"2.png","a"\n'), USED),
    "a comma in quotes": Odd(table(PLAIN + '2.png,"a, or so"\n'), USED),
    "windows line ends": Odd(table((PLAIN + "2.png,a\n").replace("\n", "\r\n")), USED),
    "spaces around": Odd(table(PLAIN + " 2.png , a \n"), USED),
    "more cells than columns": Odd(table(PLAIN + "2.png,a,x,y\n"), USED),
    "empty lines": Odd(table(PLAIN + "\n,\n2.png,a\n\n"), USED),
    "windows separators": Odd(table(PLAIN + "sub\\4.png,a\n"), USED),
    "absolute paths": Odd(table(PLAIN + "{here}/2.png,a\n"), USED),
    "the same row twice": Odd(table(PLAIN + "2.png,a\n2.png,a\n"), USED),
    "missing file": Odd(table(PLAIN + "gone.png,a\n"), "no such file"),
    "empty label": Odd(table(PLAIN + "2.png,\n"), "no label in the table"),
    "empty path": Odd(table(PLAIN + ",a\n"), "no path in the table"),
    "a folder for a path": Odd(table(PLAIN + "sub,a\n"), "no such file"),
    "fewer cells than columns": Odd(table(PLAIN + "2.png\n"), "no label in the table"),
    "zero byte in a path": Odd(table(PLAIN + "2\0.png,a\n"), "no such file"),
    "latin-1": Odd(table("path,label\n0.png,café\n1.png,b\n".encode("latin-1")), "UTF-8"),
    "utf-16": Odd(table(PLAIN.encode("utf-16")), "UTF-8"),
    "a spreadsheet named csv": Odd(table(b"PK\x03\x04" + bytes(range(256))), "UTF-8|column"),
    "empty": Odd(table(""), "must have a column"),
    "a header alone": Odd(table("path,label\n"), "has none|hold images"),
    "no header": Odd(table("0.png,a\n1.png,b\n"), "must have a column"),
    "an endless cell": Odd(table("path,label\n0.png," + "a" * 200_000 + "\n"), "field larger"),
}


def zipped(members: dict[str, bytes]) -> Callable[[Path], Path]:
    """Writes a zip file of two sound images and ``members``."""

    def write(folder: Path) -> Path:
        path = folder / "photos.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in ("a/0.png", "b/0.png"):
                archive.writestr(name, encoded())
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    return write


def tarred(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[Path], Path]:
    """Writes a tar file of two sound images and a member of ``kind``."""

    def write(folder: Path) -> Path:
        path, content = folder / "photos.tar.gz", encoded()
        with tarfile.open(path, "w:gz") as archive:
            for each in ("a/0.png", "b/0.png", name):
                info = tarfile.TarInfo(each)
                info.size = len(content) if each != name or kind == tarfile.REGTYPE else 0
                if each == name:
                    info.type, info.linkname = kind, target
                archive.addfile(info, io.BytesIO(content))
        return path

    return write


def encrypted(folder: Path) -> Path:
    """As a zip file with a password says of itself."""
    path = zipped({})(folder)
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 8] |= 1
        at = data.find(b"PK\x01\x02", at + 4)
    path.write_bytes(data)
    return path


def cut(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Half of a file."""

    def write_half(folder: Path) -> Path:
        path = write(folder)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        return path

    return write_half


ARCHIVES: dict[str, Odd] = {
    "zip with ..": Odd(zipped({"../outside.png": encoded()}), "leads out of the archive"),
    "zip with an absolute name": Odd(zipped({"/tmp/x.png": encoded()}), "leads out of the archive"),
    "zip with a drive": Odd(zipped({"C:/x.png": encoded()}), "leads out of the archive"),
    "zip with windows separators": Odd(zipped({"a\\1.png": encoded()}), USED),
    "zip with macOS's own folder": Odd(zipped({"__MACOSX/a/._0.png": b"x"}), NOT_SEEN),
    "zip with a password": Odd(encrypted, "is encrypted"),
    "half a zip": Odd(cut(zipped({})), "must be a whole zip or tar file"),
    "a zip that is none": Odd(file("photos.zip", b"no archive"), "must be a whole zip or tar file"),
    "tar with ..": Odd(tarred("../outside.png"), "leads out of the archive"),
    "tar with an absolute name": Odd(tarred("/tmp/x.png"), "leads out of the archive"),
    "tar with a link": Odd(tarred("a/l.png", tarfile.SYMTYPE, "/etc/passwd"), "a link or device"),
    "tar with a hard link": Odd(tarred("a/h.png", tarfile.LNKTYPE, "a/0.png"), "a link or device"),
    "tar with a device": Odd(tarred("a/d.png", tarfile.CHRTYPE), "a link or device"),
    "half a tar": Odd(cut(tarred("a/1.png")), "must be a whole zip or tar file"),
}
