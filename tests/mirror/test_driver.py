from __future__ import annotations

import dataclasses
import json
import os
import time

import pytest

from automl_img.data.filesystems import RemoteFile
from automl_img.errors import RunError
from automl_img.mirror import driver
from automl_img.mirror.driver import Hold, TakenOver, holding
from automl_img.mirror.manifest import DRIVER
from tests.mirror.disk import URL, Disk


def test_a_second_driver_is_refused_as_long_as_the_first_gives_signs_of_life(disk: Disk) -> None:
    with holding(disk, URL):
        with pytest.raises(
            RunError, match=rf"searched on .* \(process {os.getpid()}\).*resume 60 s"
        ):
            Hold(disk, URL).claim()
        assert (disk.run / DRIVER).exists()
    assert not (disk.run / DRIVER).exists()
    with holding(disk, URL):
        pass


def test_who_gives_no_sign_is_taken_over_and_sees_that(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Hold(disk, URL), Hold(disk, URL)
    first.claim()
    os.utime(disk.run / DRIVER, (time.time() - 61, time.time() - 61))
    second.claim()
    first.renew()
    with pytest.raises(TakenOver, match="goes on with s3://bucket/runs/run"):
        first.check()
    first.release()
    assert json.loads((disk.run / DRIVER).read_text())["session"] == second.session
    second.check()


def test_a_machine_that_slept_looks_before_it_uploads(disk: Disk) -> None:
    first, second = Hold(disk, URL), Hold(disk, URL)
    first.claim()
    second.claim(ours=first.session)
    first.check()
    first._signed -= driver.FRESH
    with pytest.raises(TakenOver):
        first.check()


def test_the_session_that_drove_the_copy_here_need_not_be_waited_for(disk: Disk) -> None:
    killed = Hold(disk, URL)
    killed.claim()
    following = Hold(disk, URL)
    following.claim(ours=killed.session)
    assert json.loads((disk.run / DRIVER).read_text())["session"] == following.session


def test_a_sign_that_is_given_as_another_looks_is_seen(
    disk: Disk, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Hold(disk, URL)
    first.claim()
    file = disk.file

    def file_before(url: str) -> RemoteFile:
        # What was there then had another size.
        return dataclasses.replace(file(url), size=1)

    monkeypatch.setattr(disk, "file", file_before)
    with pytest.raises(RunError, match="is being searched"):
        Hold(disk, URL).claim()


def test_clocks_of_machines_may_differ(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(driver.time, "time", lambda: now - 3600)
    Hold(disk, URL).claim()
    monkeypatch.setattr(driver.time, "time", lambda: now + 3600)
    with pytest.raises(RunError, match="is being searched"):
        Hold(disk, URL).claim()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"session": 1}', b"\xff", b"[" * 9999])
def test_a_damaged_file_of_a_driver_stops_nobody(disk: Disk, content: bytes) -> None:
    disk.write(content, f"{URL}/{DRIVER}")
    driving = Hold(disk, URL)
    driving.claim()
    assert json.loads((disk.run / DRIVER).read_text())["session"] == driving.session


def test_two_that_begin_at_once_do_not_both_drive(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Hold(disk, URL), Hold(disk, URL)
    # The second one looked before the first one signed.
    monkeypatch.setattr(driver.time, "sleep", lambda seconds: second._sign())
    with pytest.raises(TakenOver):
        first.claim()


def test_a_probe_of_the_clock_leaves_nothing(disk: Disk) -> None:
    Hold(disk, URL).claim()
    with pytest.raises(RunError, match="is being searched"):
        Hold(disk, URL).claim()
    assert [path.name for path in disk.run.iterdir()] == [DRIVER]
