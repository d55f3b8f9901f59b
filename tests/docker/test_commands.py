"""The small programs of docker/: what a node and a job run."""

from __future__ import annotations

import http.server
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.dockerfile import ROOT

DOCKER = ROOT / "docker"
BIN = Path(sys.executable).parent


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    """A folder for programs that stand for others; each writes down how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def fake(folder: Path, name: str, body: str = "") -> Path:
    """A program that adds its name and words as a line to calls.txt, then does ``body``."""
    path = folder / name
    path.write_text(
        f'#!/usr/bin/env bash\necho "{name} $*" >> "{folder}/calls.txt"\n{body}\n', encoding="utf-8"
    )
    path.chmod(0o755)
    return path


def calls(folder: Path) -> list[str]:
    path = folder / "calls.txt"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def with_fakes(folder: Path, **env: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{folder}:{BIN}:{os.environ['PATH']}", **env}


# search-or-resume


def search_or_resume(fakes: Path, *words: str) -> subprocess.CompletedProcess[str]:
    fake(fakes, "automl-img", "exit 7")
    env = with_fakes(fakes, PYTHONPATH=str(ROOT))
    command = [sys.executable, DOCKER / "search-or-resume", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def a_run(folder: Path, **info: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")


def test_a_run_that_is_not_there_is_begun(fakes: Path, tmp_path: Path) -> None:
    done = search_or_resume(fakes, str(tmp_path / "runs"), "one", "photos", "--budget", "3")
    (call,) = calls(fakes)
    assert call == f"automl-img search photos --budget 3 --name one --out {tmp_path}/runs"
    assert done.returncode == 7


def test_a_run_that_was_cut_short_goes_on(fakes: Path, tmp_path: Path) -> None:
    a_run(tmp_path / "runs/one", status="running")
    done = search_or_resume(fakes, str(tmp_path / "runs"), "one", "photos")
    assert calls(fakes) == [f"automl-img resume {tmp_path}/runs/one --out {tmp_path}/runs"]
    assert done.returncode == 7


def test_a_run_goes_on_with_the_cluster_and_the_workers_of_this_time(
    fakes: Path, tmp_path: Path
) -> None:
    a_run(tmp_path / "runs" / "one", status="interrupted")
    asked = ["photos", "--budget", "3", "--address", "old:1", "--workers=4", "--address", "new:2"]
    search_or_resume(fakes, str(tmp_path / "runs"), "one", *asked)
    where = f"{tmp_path}/runs/one --address new:2 --workers=4 --out {tmp_path}/runs"
    assert calls(fakes) == [f"automl-img resume {where}"]


def test_a_run_that_has_come_to_its_end_is_left_alone(fakes: Path, tmp_path: Path) -> None:
    a_run(tmp_path / "runs/one", status="finished")
    (tmp_path / "runs/one/report.html").touch()
    done = search_or_resume(fakes, str(tmp_path / "runs"), "one", "photos")
    assert done.returncode == 0, done.stderr
    assert "has come to its end" in done.stdout
    assert calls(fakes) == []


def test_a_run_that_was_given_up_or_has_no_report_goes_on(fakes: Path, tmp_path: Path) -> None:
    a_run(tmp_path / "runs/given", status="finished", given_up="five in a row failed")
    (tmp_path / "runs/given/report.html").touch()
    a_run(tmp_path / "runs/bare", status="finished")
    for name in ("given", "bare"):
        search_or_resume(fakes, str(tmp_path / "runs"), name, "photos")
    assert [call.split()[1] for call in calls(fakes)] == ["resume", "resume"]


# healthy

HEALTH = runpy.run_path(str(DOCKER / "healthy"))


@pytest.fixture
def agent() -> Iterator[http.server.ThreadingHTTPServer]:
    class Agent(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.answer)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Agent)
    server.answer = 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def processes(folder: Path, *commands: list[str]) -> Path:
    """A /proc with these commands, and one of the kernel, which has none."""
    for number, words in enumerate([[], *commands], start=1):
        path = folder / str(number)
        path.mkdir(parents=True)
        (path / "cmdline").write_bytes("".join(f"{word}\0" for word in words).encode())
    return folder


def raylet(port: int) -> list[str]:
    agent = f"python -u agent.py --grpc-port=1 --listen-port={port} --node-manager-port=2"
    return ["/somewhere/ray/core/src/ray/raylet/raylet", f"--dashboard_agent_command={agent}"]


def test_a_node_is_as_well_as_its_agent_says(tmp_path: Path, agent: Any) -> None:
    place = processes(tmp_path, ["python", "ray", "start", "--block"], raylet(agent.server_port))
    assert HEALTH["main"](place) == ""
    agent.answer = 503
    assert "503" in HEALTH["main"](place)


def test_a_node_whose_agent_is_gone_is_not_well(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        # Bound, so that nobody else takes it, but nobody listens.
        nobody.bind(("127.0.0.1", 0))
        place = processes(tmp_path, raylet(nobody.getsockname()[1]))
        assert "refused" in HEALTH["main"](place)


def test_a_start_of_ray_without_a_node_is_not_well(tmp_path: Path) -> None:
    place = processes(tmp_path, ["/bin/bash", "-c", "ulimit -n 65536; ray start --head --block"])
    assert "no node of Ray" in HEALTH["main"](place)


def test_a_search_without_ray_is_well(tmp_path: Path) -> None:
    assert HEALTH["main"](processes(tmp_path, ["automl-img", "report", "one"])) == ""


# slurm.sh


def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(
        [BIN / "shellcheck", DOCKER / "slurm.sh"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def slurm(fakes: Path, search: str) -> subprocess.Popen[str]:
    """The script as SLURM runs it on the first of two nodes; ``search`` is what the search does."""
    fake(fakes, "scontrol", "if [[ $1 == show ]]; then echo n1; echo n2; fi")
    fake(fakes, "srun", f'echo "$RAY_AUTH_MODE $RAY_AUTH_TOKEN" >> "{fakes}/tokens.txt"')
    # That nodes have joined, only nodes could say.
    fake(
        fakes,
        "python3",
        f'if [[ $1 == - ]]; then cat > /dev/null; else exec {sys.executable} "$@"; fi',
    )
    fake(fakes, "search-or-resume", search)
    job = {"JOB_ID": "42", "JOB_NODELIST": "n[1-2]", "NNODES": "2", "CPUS_PER_TASK": "8"}
    return subprocess.Popen(
        [
            "bash",
            DOCKER / "slurm.sh",
            "/shared/runs",
            "photos",
            "/shared/photos",
            "--budget",
            "20h",
        ],
        env=with_fakes(
            fakes,
            AUTOML_IMG_DOCKER=str(fakes),
            SLURM_SUBMIT_DIR=str(ROOT),
            **{f"SLURM_{name}": value for name, value in job.items()},
        ),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_a_job_of_slurm_starts_its_nodes_and_ends_with_its_search(fakes: Path) -> None:
    job = slurm(fakes, "exit 3")
    said, _ = job.communicate(timeout=60)
    assert job.returncode == 3, said
    head, workers = sorted((call for call in calls(fakes) if call.startswith("srun")), key=len)[
        ::-1
    ]
    assert "--nodelist=n1" in head
    assert "ray start --block --num-cpus=8 --head --port=6379 --dashboard-host=127.0.0.1" in head
    assert "--nodes=1 --ntasks=1 --exclude=n1" in workers
    assert workers.endswith("ray start --block --num-cpus=8 --address=n1:6379")
    (search,) = [call for call in calls(fakes) if call.startswith("search-or-resume")]
    asked = "/shared/runs photos /shared/photos --budget 20h --address n1:6379"
    assert search == f"search-or-resume {asked}"
    # One token for both, which no list of processes shows.
    (token,) = set((fakes / "tokens.txt").read_text(encoding="utf-8").splitlines())
    mode, secret = token.split()
    assert mode == "token"
    assert len(secret) == 64
    assert secret not in "\n".join(calls(fakes))


def test_a_job_of_slurm_whose_time_ends_queues_itself_again(fakes: Path) -> None:
    with slurm(fakes, f'while [[ ! -e "{fakes}/end" ]]; do sleep 0.1; done; exit 5') as job:
        try:
            until(lambda: any(call.startswith("search-or-resume") for call in calls(fakes)))
            for times in (1, 2):
                job.send_signal(signal.SIGUSR1)
                until(lambda times=times: calls(fakes).count("scontrol requeue 42") == times)
            # Until SLURM ends it the search goes on.
            assert job.poll() is None
        finally:
            (fakes / "end").touch()
        assert job.wait(timeout=60) == 5


def until(true: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
