"""`python -m bench` (`make bench`): every measurement in turn, written down in docs/performance.md."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
MEASURED = "<!-- What follows is written by `make bench`. -->"


def measured(*arguments: str) -> str:
    """What `python -m …` prints; its progress goes on to the terminal."""
    print(f"python -m {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def main() -> int:
    machine = f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, Python {platform.python_version()}"
    text = PAGE.read_text().partition(MEASURED)[0]
    sync, steps = measured("bench.sync", *sys.argv[1:]), measured("bench.steps")
    history, sets, feed = measured("bench.history"), measured("bench.sets"), measured("bench.feed")
    reading, keys, files = measured("bench.reading"), measured("bench.keys"), measured("bench.importing")
    PAGE.write_text(
        f"{text}{MEASURED}\n\n"
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine}, PostgreSQL with fsync on. Medians.\n\n"
        f"## Sync\n\n| what | measured | target |\n| --- | --- | --- |\n{sync}\n\n"
        f"## One request of 1000 pieces, step by step\n\n"
        f"| milliseconds | new | changed | unchanged |\n| --- | --- | --- | --- |\n{steps}\n\n"
        f"## History and undo\n\n| what | measured | target |\n| --- | --- | --- |\n{history}\n\n"
        f"## Complete sets\n\n| what | measured | target |\n| --- | --- | --- |\n{sets}\n\n"
        f"## The change feed\n\n| what | measured | target |\n| --- | --- | --- |\n{feed}\n\n"
        f"## Reading, deleting, restoring\n\n```\n{reading}\n```\n\n"
        f"## API keys\n\n```\n{keys}\n```\n\n"
        f"## Files\n\n| what | measured | target |\n| --- | --- | --- |\n{files}\n"
    )
    print(f"written: {PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
