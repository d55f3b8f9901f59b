"""Background processes: what they do, how they end, and what they do not need."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_img.data import processes
from automl_img.data.cache import built_once
from automl_img.data.decode import decode, inspect
from automl_img.data.processes import Processes, run
from automl_img.data.worker import Job, decode_job, inspect_job
from automl_img.errors import DataError
from tests.pictures import class_folders

ROOT = Path(__file__).parents[2]
# Starts two processes and says which.
BUSY = """
import sys
from automl_img.data.processes import Processes
from automl_img.data.worker import inspect_job
pool = Processes(2)
for future in [pool.submit(inspect_job(sys.argv[1:])) for _ in range(20)]:
    future.result()
print(*[process._process.pid for process in pool._started], flush=True)
"""


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    return sorted(map(str, class_folders(tmp_path / "d", per_class=10).rglob("*.png")))


def decoding(paths: list[str], **options: object) -> Job:
    digests = np.stack([np.frombuffer(inspect(path).digest, np.uint8) for path in paths])
    return decode_job(paths, digests, 16, 3, **options)  # type: ignore[arg-type]


def is_alive(pid: int) -> bool:
    try:
        # A zombie has ended, but would still take a signal.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()


def pids(pool: Processes) -> list[int]:
    return [process._process.pid for process in pool._started]


def test_results_come_in_order_and_are_those_of_this_process(paths: list[str]) -> None:
    jobs = [inspect_job([path]) for path in paths]
    assert list(run(jobs, 2)) == list(run(jobs, 0))
    assert [found[0]["digest"] for found in run(jobs, 3)] == [
        inspect(path).digest.hex() for path in paths
    ]


def test_pixels_are_sent_or_written_into_their_place(paths: list[str], tmp_path: Path) -> None:
    expected = np.stack([decode(path, 16, 3) for path in paths[:4]])
    target = tmp_path / "pixels"
    target.write_bytes(b"head")
    with Processes(1) as pool:
        pixels = np.zeros((4, 16, 16, 3), np.uint8)
        assert pool.submit(decoding(paths[:4], send=True), pixels).result() == []
        pool.submit(decoding(paths[2:4], into=target, offset=4 + 2 * 768)).result()
        pool.submit(decoding(paths[:2], into=target, offset=4)).result()
    assert np.array_equal(pixels, expected)
    assert target.read_bytes() == b"head" + expected.tobytes()


def test_what_a_job_raises_is_raised_here(paths: list[str]) -> None:
    job = decoding(paths[:2])
    Path(paths[1]).write_bytes(Path(paths[0]).read_bytes())
    with pytest.raises(DataError, match="must not change while it is read"):
        list(run([job], 1))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk is needed")
@pytest.mark.parametrize("count", [0, 1])
def test_a_full_disk_is_the_same_sentence_wherever_pixels_are_written(
    count: int, paths: list[str], tmp_path: Path
) -> None:
    def build(into: Path) -> dict[str, object]:
        list(run([decoding(paths, into=Path("/dev/full"))], count))
        return {}

    with pytest.raises(DataError, match="No space left on device; free some space, or set AUTOML"):
        built_once(tmp_path / "key", build)


@pytest.mark.parametrize("count", [0, 1])
def test_warnings_of_the_decoder_do_not_reach_the_screen(
    count: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "odd.jpg"
    Image.new("RGB", (20, 20)).save(odd, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0garbage")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        ((header,),) = run([inspect_job([str(odd)])], count)
        digest = np.frombuffer(bytes.fromhex(header["digest"]), np.uint8)
        assert list(run([decode_job([str(odd)], digest[None], 16, 3)], count)) == [[]]
    assert not [str(warning.message) for warning in warned if "EXIF" in str(warning.message)]
    assert "EXIF" not in capfd.readouterr().err


def test_a_killed_process_is_one_sentence_and_is_replaced(paths: list[str]) -> None:
    with Processes(1) as pool:
        pool.submit(inspect_job(paths)).result()
        (first,) = pids(pool)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(DataError, match=r"one ended \(killed by signal 9\) at .*000\.png"):
            pool.submit(inspect_job(paths)).result()
        assert len(pool.submit(inspect_job(paths)).result()) == 30
        (second,) = pids(pool)
        assert second != first


def test_a_process_that_cannot_start_is_one_sentence(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(DataError, match="must start, but No such file or directory; allow"):
        list(run([inspect_job(paths)], 1))


def test_processes_start_with_the_first_job_and_end_with_the_pool(paths: list[str]) -> None:
    with Processes(2) as pool:
        assert pids(pool) == []
        pool.submit(inspect_job(paths)).result()
        started = pids(pool)
        assert started
        assert all(map(is_alive, started))
    assert not any(map(is_alive, started))
    assert not any(Path(f"/proc/{pid}").exists() for pid in started), "left as a zombie"


def test_processes_end_when_the_work_is_broken_off(paths: list[str]) -> None:
    before = children()
    results = run([inspect_job(paths)] * 400, 2)
    next(results)
    assert children() - before
    results.close()
    assert not children() - before


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_one_that_started_it(
    sign: signal.Signals, paths: list[str]
) -> None:
    code = BUSY + "import time; time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code, *paths], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, cwd=ROOT, start_new_session=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        started = [int(pid) for pid in parent.stdout.readline().split()]
        assert started
        assert all(map(is_alive, started))
        # As Ctrl-C does: to the whole group of the terminal.
        os.killpg(parent.pid, sign)
    assert until(lambda: not any(map(is_alive, started)))


def test_an_interrupt_that_the_program_answers_itself_ends_no_process(paths: list[str]) -> None:
    code = f"""
import os, signal
signal.signal(signal.SIGINT, lambda *_: print("heard", flush=True))
{BUSY}
os.killpg(os.getpgid(0), signal.SIGINT)
print(len(pool.submit(inspect_job(sys.argv[1:])).result()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *paths],
        capture_output=True,
        text=True,
        cwd=ROOT,
        start_new_session=True,
        check=True,
    )
    assert done.stdout.splitlines()[1:] == ["heard", "30"]


def test_a_script_needs_no_guard_and_its_folder_shadows_nothing(
    paths: list[str], tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    script = tmp_path / "scripts" / "mine.py"
    script.parent.mkdir()
    script.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\nprint('once')\n{BUSY}")
    done = subprocess.run(
        [sys.executable, script, *paths], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.count("once") == 1
    assert "wrong json" not in done.stderr


def test_a_fork_gets_processes_of_its_own(paths: list[str]) -> None:
    code = """
import os, sys
from automl_img.data.processes import shared
from automl_img.data.worker import inspect_job
job = inspect_job(sys.argv[1:])
shared().submit(job).result()
mine = {process._process.pid for process in shared()._started}
sys.stdout.flush()
child = os.fork()
if not child:
    assert len(shared().submit(job).result()) == 30
    assert not mine & {process._process.pid for process in shared()._started}
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert len(shared().submit(job).result()) == 30
assert mine >= {process._process.pid for process in shared()._started}
"""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *paths], check=True, cwd=ROOT, timeout=60
    )


def test_a_worker_with_a_share_of_the_cores_starts_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_shared", None)
    monkeypatch.setattr(processes, "cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert processes.shared().count == 3
    monkeypatch.setattr(processes, "_shared", None)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert processes.shared().count == 8


def test_only_work_of_a_second_is_worth_processes(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 16)
    assert processes.worth(paths, 1e-4, 2e-8) == 0
    assert processes.worth(paths * 1000, 1e-4, 2e-8) > 4
    assert processes.worth(paths, 1.0, 2e-8) == 16
    monkeypatch.setattr(processes, "cores", lambda: 1)
    assert processes.worth(paths, 1.0, 2e-8) == 0


@pytest.mark.parametrize(("count", "workers"), [(1, 0), (64, 0), (1000, 2), (1000, 32), (0, 4)])
def test_chunks_cover_all_rows_in_order_and_each_process_has_some(count: int, workers: int) -> None:
    parts = processes.chunks(count, workers)
    assert [row for part in parts for row in part] == list(range(count))
    assert len(parts) >= min(count, workers)
    assert all(len(part) <= 64 for part in parts)
    even = processes.split_evenly(count, 7)
    assert [row for part in even for row in part] == list(range(count))
    assert len({len(part) for part in even}) <= 2


def test_a_process_loads_only_what_decoding_needs() -> None:
    code = "import automl_img.data.worker, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.split())
    heavy = {"keras", "tensorflow", "ray", "optuna", "pydantic", "scipy", "sklearn", "yaml"}
    assert not loaded & heavy


def children() -> set[int]:
    listed = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for file in listed for pid in file.read_text().split()}
