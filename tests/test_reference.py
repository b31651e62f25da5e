"""Every plug-in and every finding code has its place in the documentation, as the code says it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_reference_pages_are_up_to_date() -> None:
    command = [sys.executable, ROOT / "scripts" / "reference", "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
