import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SKIPPED = "import pytest\n\n\ndef test_it():\n    pytest.skip('no machine for it')\n"
MODULE = "import pytest\n\npytest.skip('nothing here', allow_module_level=True)\n"
EXPECTED = "import pytest\n\n\n@pytest.mark.xfail\ndef test_it():\n    assert False\n"


def run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_sample.py").write_text(text)
    (folder / "conftest.py").write_text("from tests.conftest import *\n")
    where = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), str(folder)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *where],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_skips_pass_unless_forbidden(tmp_path):
    assert run(tmp_path, SKIPPED).returncode == 0
    refused = run(tmp_path, SKIPPED, "--no-skips")
    assert refused.returncode == 1
    assert "no machine for it" in refused.stdout


def test_module_that_skips_itself_is_caught_too(tmp_path):
    refused = run(tmp_path, MODULE, "--no-skips")
    assert refused.returncode != 0
    assert "nothing here" in refused.stdout


def test_expected_failure_is_no_skip(tmp_path):
    assert run(tmp_path, EXPECTED, "--no-skips").returncode == 0
