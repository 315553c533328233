"""systemd takes the units of docs/deploy/systemd as they stand, but for where the checkout is."""

import subprocess
from pathlib import Path

from bench.faults.server import ROOT


def test_the_units_are_sound_and_name_programs_that_exist(tmp_path: Path) -> None:
    units = sorted((ROOT / "docs/deploy/systemd").iterdir())
    assert {unit.suffix for unit in units} == {".service", ".timer"}
    for unit in units:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/srv/ractory", str(ROOT)))
    files = [str(tmp_path / unit.name) for unit in units]
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)  # noqa: S603, S607  # our own files
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
