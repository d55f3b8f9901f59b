"""What an image costs in memory and on the disk, by the source that it comes from.

The same generated images of 16 by 16 pixels as class folders, a table, JSON lines, Parquet and a
saved data set with the bytes in them, a zip file, a folder in a bucket (a server that speaks S3, on
this machine), and the same where the cache may keep nothing of it. Each is prepared for a search in
a process of its own (listed, read, looked at for copies, cut, decoded), with few and with many
images; the difference of the most memory that the two held, divided by that of the images, is what
one costs. Processes that decode are not counted: they hold a few images, whatever there are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import frame

from automl_img.data.prepare import prepare
from automl_img.settings import check
from automl_img.training.peak import forget_peak, peak_bytes

GOAL = "an image of each source costs at most 8 kB of memory"
_MOST_BYTES = 8_000
# A server in Python takes milliseconds for an object.
_IMAGES, _IN_BUCKET, _SHORT = (20_000, 80_000), (2_000, 8_000), (500, 1_000)
_KEYS = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "eu"}


def main() -> None:
    if sys.argv[1:2] == ["prepare"]:
        _prepare(sys.argv[2])
        return
    short = frame.asked_short(__doc__)
    figures: dict[str, float | int | str | bool] = {}
    most = 0.0
    with frame.workspace() as folder, _s3_server() as address:
        for source, write in _WRITERS.items():
            counts = _SHORT if short else _IN_BUCKET if "bucket" in source else _IMAGES
            peaks, disk = [], 0
            for count in counts:
                photos = _photos(folder / f"photos-{count}", count)
                data, environment = write(
                    photos, folder / f"{source}-{count}".lower().replace(" ", "-").replace(",", "")
                )
                cache = folder / "caches" / f"{source}-{count}"
                peaks.append(_peak(data, {**environment, "AWS_ENDPOINT_URL": address}, cache))
                disk = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
            each = (peaks[1] - peaks[0]) / (counts[1] - counts[0])
            figures[f"{source}: bytes of memory an image"] = round(each)
            figures[f"{source}: bytes in the cache an image"] = round(disk / counts[1])
            figures[f"{source}: images"] = counts[1]
            print(f"{source}: {each:,.0f} bytes an image", flush=True)
            most = max(most, each)
    frame.finish("sources", figures, GOAL, most <= _MOST_BYTES, short)


def _prepare(data: str) -> None:
    """What runs in a process of its own: prints the bytes that it held at the most."""
    import pyarrow  # noqa: F401  # As long to import for a thousand images as for a million.

    forget_peak()
    columns = {"label_column": "label"} if data.endswith((".csv", ".jsonl")) else {}
    found = prepare(check({"data": data, **columns}))
    print(json.dumps({"images": len(found.index), "bytes": peak_bytes()}))


def _peak(data: str, environment: dict[str, str], cache: Path) -> int:
    command = [sys.executable, __file__, "prepare", data]
    values = {**os.environ, **_KEYS, **environment, "AUTOML_IMG_CACHE": str(cache)}
    done = subprocess.run(command, env=values, check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout.splitlines()[-1])["bytes"])


def _photos(folder: Path, count: int) -> Path:
    if not folder.exists():
        frame.noise(folder, count)
    return folder


def _label(path: Path, photos: Path) -> str:
    return path.relative_to(photos).parts[0]


Written = tuple[str, dict[str, str]]


def _folder(photos: Path, target: Path) -> Written:
    return str(photos), {}


def _table(photos: Path, target: Path) -> Written:
    table = target.with_suffix(".csv")
    rows = [f"{path},{_label(path, photos)}" for path in sorted(photos.rglob("*.png"))]
    table.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    return str(table), {}


def _json_lines(photos: Path, target: Path) -> Written:
    table = target.with_suffix(".jsonl")
    rows = [{"path": str(p), "label": _label(p, photos)} for p in sorted(photos.rglob("*.png"))]
    table.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(table), {}


def _parquet(photos: Path, target: Path) -> Written:
    import pyarrow as pa
    from pyarrow import parquet

    table = target.with_suffix(".parquet")
    parquet.write_table(pa.table(_columns(photos)), table, row_group_size=1000)
    return str(table), {}


def _hugging_face(photos: Path, target: Path) -> Written:
    import pyarrow as pa

    target.mkdir()
    columns = pa.table(_columns(photos))
    with (
        pa.OSFile(str(target / "data-00000-of-00001.arrow"), "wb") as stream,
        pa.ipc.new_stream(stream, columns.schema) as writer,
    ):
        writer.write_table(columns, max_chunksize=1000)
    files = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (target / "state.json").write_text(json.dumps(files), encoding="utf-8")
    (target / "dataset_info.json").write_text("{}", encoding="utf-8")
    return str(target), {}


def _columns(photos: Path) -> dict[str, list[object]]:
    paths = sorted(photos.rglob("*.png"))
    images: list[object] = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    return {"image": images, "label": [_label(path, photos) for path in paths]}


def _archive(photos: Path, target: Path) -> Written:
    packed = target.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(photos.rglob("*.png")):
            archive.write(path, path.relative_to(photos))
    return str(packed), {}


def _bucket(photos: Path, target: Path) -> Written:
    import boto3

    client = boto3.client(
        "s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1"
    )
    client.create_bucket(Bucket=target.name)
    for path in sorted(photos.rglob("*.png")):
        key = path.relative_to(photos).as_posix()
        client.put_object(Bucket=target.name, Key=key, Body=path.read_bytes())
    return f"s3://{target.name}", {}


def _bucket_too_large(photos: Path, target: Path) -> Written:
    return _bucket(photos, target)[0], {"AUTOML_IMG_REMOTE_CACHE": "1"}


_WRITERS: dict[str, Callable[[Path, Path], Written]] = {
    "folder": _folder,
    "table": _table,
    "JSON lines": _json_lines,
    "Parquet": _parquet,
    "saved by Hugging Face": _hugging_face,
    "zip": _archive,
    "bucket": _bucket,
    "bucket, nothing kept": _bucket_too_large,
}


@contextmanager
def _s3_server() -> Iterator[str]:
    """The address of one, in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        os.environ.update({**_KEYS, "AWS_ENDPOINT_URL": address})
        yield address
    finally:
        process.terminate()
        process.wait()


_SERVER = """
import logging, time
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").disabled = True
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://{}:{}".format(*server.get_host_and_port()), flush=True)
while True:
    time.sleep(60)
"""

if __name__ == "__main__":
    main()
