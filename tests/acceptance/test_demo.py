"""The README's first command, in small."""

import os
import subprocess
import sys


def test_demo_ends_with_both_replicas_equal_and_nothing_left_running(tmp_path):
    command = [sys.executable, "-m", "bus", "demo", "--dir", str(tmp_path / "demo"), "--people", "500"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=150, env={**os.environ, "COLUMNS": "200"}
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "both replicas equal what was published, row by row" in done.stdout
    assert "resident.sensitive" not in done.stdout
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
