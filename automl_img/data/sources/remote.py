"""URLs: a folder in a bucket, or an archive, table or Parquet file there or on a web server.

What is there is listed by the other sources: of a folder by the names of its files alone, before
one of them is fetched. Names come from a server and are not trusted; none is that of a folder in
the cache.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from automl_img.data.columnar import Part, list_parts
from automl_img.data.downloads import Downloads, Fetched
from automl_img.data.filesystems import RemoteFile
from automl_img.data.listing import Columns, LeftOut, Listing, is_image_name, valid_unicode
from automl_img.data.sources import archive, folder, hugging_face, json_lines, parquet
from automl_img.data.sources.table import list_table
from automl_img.data.urls import (
    file_name,
    folder_of,
    has_password,
    is_url,
    is_web,
    shown,
    why_not_read,
)
from automl_img.errors import DataError, SettingsError
from automl_img.events import Listener, Phase

WHAT = "the URL (s3://, gs://, https://) of a table, archive or Parquet file, or of a folder"
_PARQUET = (".parquet", ".pq")


def accepts(data: str) -> bool:
    """Whether ``data`` is a URL, of whatever kind."""
    return is_url(data) or why_not_read(data) is not None


def listing(data: str, columns: Columns, cache: Path, listener: Listener) -> Listing:
    """The images behind the URL ``data``, which are files in the cache then.

    Raises:
        DataError: it is of no kind that is read, is not there or may not be read, a server does not
            answer, all of it does not fit, or a source finds it unsound.
        SettingsError: a column is missing, or the bound of the cache is no amount.
    """
    if why := why_not_read(data):
        raise DataError(f"a URL must {why}")
    if has_password(data):
        raise DataError(
            f"{shown(data)} must be given without a user or password, as data is noted in the run; "
            "put them into ~/.netrc, or into the environment"
        )
    downloads = Downloads(cache, data, listener)
    name = file_name(data)
    if not data.endswith("/") and _is_one_file(name):
        found = _list_file(data, columns, cache, downloads, listener)
    elif is_web(data):
        raise DataError(
            f"{shown(data)} must be an archive, a table or a Parquet file by its ending, as a web "
            "server lists no folder; give one of these, or a table with the URLs of the images"
        )
    else:
        found = _list_folder(data, columns, cache, downloads, listener)
    if not found.paths and not found.left_out:
        raise DataError(f"{shown(data)} must name images, but has none; give other data")
    return dataclasses.replace(found, kind="remote")


def _is_one_file(name: str) -> bool:
    endings = (*archive.SUFFIXES, *json_lines.SUFFIXES, *_PARQUET)
    return folder.is_table_name(name) or name.lower().endswith(endings)


def _list_file(
    url: str, columns: Columns, cache: Path, downloads: Downloads, listener: Listener
) -> Listing:
    path = Path(_only(downloads, url))
    name, beside = path.name.lower(), folder_of(url)
    if name.endswith(archive.SUFFIXES):
        return archive.listing(str(path), columns, cache, listener)
    if name.endswith(_PARQUET):
        return _list_parquet([Part(path, folder=beside)], columns, cache, path.stem, listener)
    if name.endswith(json_lines.SUFFIXES):
        return json_lines.list_lines(path, columns, "remote", cache, listener, beside)
    return list_table(path, columns, "remote", cache, listener, beside)


def _only(downloads: Downloads, url: str) -> str:
    fetched = downloads.fetch([downloads.server.file(url)])
    if reason := fetched.refused.get(url):
        raise DataError(f"{shown(url)} must be readable, but {reason}; try again")
    return fetched.paths[url]


def _list_parquet(
    parts: Sequence[Part], columns: Columns, cache: Path, name: str, listener: Listener
) -> Listing:
    return list_parts(parts, parquet.FORMAT, columns, cache, name, "remote", listener)


def _list_folder(
    url: str, columns: Columns, cache: Path, downloads: Downloads, listener: Listener
) -> Listing:
    listener(Phase(f"listing {shown(url)}"))
    files = downloads.server.files(url)
    if not files:
        raise DataError(
            f"{shown(url)} must hold images, but nothing is there; look for a mistake in its name"
        )
    with tempfile.TemporaryDirectory(prefix="automl-img-") as place:
        root = Path(place) / _plain(file_name(url))
        by_path, odd = _sketch(root, files)
        try:
            if hugging_face.is_saved(root):
                raise DataError(
                    f"{root} must be a folder of classes or of Parquet files, but it was saved by "
                    "save_to_disk; copy it to this machine and give the copy"
                )
            parts = parquet.parts_in(root)
            found = None if parts else folder.listing(str(root), columns, cache, listener)
        except (DataError, SettingsError) as error:
            said = str(error).replace(str(root), shown(url).rstrip("/"))
            raise type(error)(said) from None
    if found is not None:
        fetched = downloads.fetch([by_path[path] for path in found.paths], later=True)
        return _with_files(found, by_path, fetched, odd)
    fetched = downloads.fetch([by_path[str(part.path)] for part in parts])
    for gone, reason in fetched.refused.items():
        raise DataError(f"{shown(gone)} must be readable, but {reason}; mend that")
    here = []
    for part in parts:
        of = by_path[str(part.path)].url
        here.append(Part(Path(fetched.paths[of]), part.split, folder_of(of)))
    return _list_parquet(here, columns, cache, root.name, listener)


def _sketch(
    root: Path, files: Sequence[RemoteFile]
) -> tuple[dict[str, RemoteFile], tuple[LeftOut, ...]]:
    """Empty files below ``root``, named as the remote ones, by their paths; and what has no place
    there."""
    root.mkdir()
    by_path: dict[str, RemoteFile] = {}
    odd = []
    # Some tools mark a folder by an object of its name, which is none of the images.
    folders = {str(above) for file in files for above in PurePosixPath(file.name).parents}
    for file in files:
        path = root / file.name
        reason = _unsafe(file.name)
        if file.name in folders:
            reason = "a file and a folder have the same name"
        if not reason:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.open("xb").close()
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                reason = "a file and a folder have the same name"
            except OSError as error:
                reason = f"its name cannot be that of a file: {error.strerror}"
            else:
                by_path[str(path)] = file
        if reason and is_image_name(file.name):
            odd.append(LeftOut(valid_unicode(file.name), reason))
    return by_path, tuple(odd)


def _unsafe(name: str) -> str:
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or set(name) & set("\\\0"):
        return "its name leads out of the folder"
    return ""


def _plain(name: str) -> str:
    return "images" if _unsafe(name) or len(name.encode()) > 200 else name


def _with_files(
    found: Listing, by_path: dict[str, RemoteFile], fetched: Fetched, odd: tuple[LeftOut, ...]
) -> Listing:
    """``found`` with the fetched files instead of the empty ones, as far as these are here."""
    urls = [by_path[path].url for path in found.paths]
    rows = [row for row, url in enumerate(urls) if url not in fetched.refused]
    gone = tuple(
        LeftOut(found.names[row], fetched.refused[url])
        for row, url in enumerate(urls)
        if url in fetched.refused
    )
    return dataclasses.replace(
        found,
        paths=tuple(fetched.paths[urls[row]] for row in rows),
        names=tuple(found.names[row] for row in rows),
        labels=tuple(found.labels[row] for row in rows),
        splits=None if found.splits is None else tuple(found.splits[row] for row in rows),
        left_out=(*odd, *found.left_out, *gone),
    )
