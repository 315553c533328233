#!/usr/bin/env python
"""Django's command line for this project, with one form of error line and one set of exit codes for all commands.

0: done. 1: something was found, or refused. 2: wrong use. 3: the database is away. 129, 130, 143: ended by SIGHUP,
SIGINT, SIGTERM.
"""

import os
import signal
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.core.management.base import CommandError, SystemCheckError
from django.db import InterfaceError, OperationalError, ProgrammingError

from ractory import garbage_collection
from ractory.signals import catch_signals, exit_code


def main(arguments: list[str]) -> int:
    """Runs the command; returns the exit code."""
    garbage_collection.run_seldom()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ractory.settings")
    name = " ".join(["manage.py", *arguments[1:2]])
    if arguments[1:2] in (["--version"], ["version"]):
        from ractory import __version__

        sys.stdout.write(f"Ractory {__version__}\n")
        return 0
    if len(arguments) > 1 and arguments[1] not in ("help", "-h", "--help"):
        arguments = [*arguments[:2], "--traceback", *arguments[2:]]  # Django's way of leaving errors to its caller
    before = catch_signals()
    try:
        execute_from_command_line(arguments)
    except ImproperlyConfigured as error:
        return failed(f"manage.py: {error}", 2)
    except SystemCheckError as error:
        return failed(str(error), error.returncode)
    except CommandError as error:
        return failed(f"{name}: error: {error}", error.returncode)
    except (OperationalError, InterfaceError, ProgrammingError) as error:
        if isinstance(error, ProgrammingError) and getattr(error.__cause__, "sqlstate", "") != "42P01":  # no such table
            raise
        return failed(f"{name}: error: the database: {(str(error).splitlines() or ['is away'])[0]}", 3)
    except KeyboardInterrupt as stop:
        code = exit_code(stop)
        return failed(f"{name}: error: stopped by {signal.Signals(code - 128).name}", code)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def failed(line: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"{line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
