from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from automl_img import files


def test_threads_that_write_at_once_leave_the_umask_as_it_was(tmp_path: Path) -> None:
    before, often = os.umask(0o027), sys.getswitchinterval()
    # So that they meet within the few instructions that matter.
    sys.setswitchinterval(1e-7)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: [files._umask() for _ in range(5000)], range(8)))
        with files.replacing(tmp_path / "x") as temporary:
            temporary.write_text("x")
    finally:
        sys.setswitchinterval(often)
        after = os.umask(before)
    assert after == 0o027
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
