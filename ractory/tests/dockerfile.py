"""Carrying out a Dockerfile without Docker: each instruction, in order, in a directory that begins empty.

There is no file system of its own: a stage works below `Builder.root`, and whatever the Dockerfile writes must go
there, which its build arguments see to. A stage that has ended is moved away: the next one finds what it copies and
nothing else. An instruction, or an option of one, that is not known here is an error.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

HOST = ("HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "http_proxy", "https_proxy", "no_proxy")  # and PIP_…: the network


@dataclass
class Stage:
    """A stage so far; at the end, what a container of it needs to know."""

    name: str
    environment: dict[str, str]
    arguments: dict[str, str] = field(default_factory=dict)
    directory: Path = Path("/")
    user: str = ""
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    def fill(self, text: str) -> str:
        """`text` with the values of its `$NAME` and `${NAME}`; KeyError for one that nobody has set."""
        values = self.arguments | self.environment
        return re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda match: values[match[1] or match[2]], text)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction's name and the rest of its lines, without comments."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        name, _, rest = line.strip().partition(" ")
        yield name.upper(), rest.strip()


class Builder:
    """Builds the last stage of `dockerfile`, with the files of `context`, below `root`."""

    def __init__(self, dockerfile: str, *, context: Path, root: Path, arguments: Mapping[str, str]) -> None:
        self.context, self.root = context, root
        self.given, self.globals = arguments, dict[str, str]()
        self.ignored = (context / ".dockerignore").read_text().split()
        self.kept: dict[str, Path] = {}  # of ended stages
        self.stage: Stage | None = None
        self.root.mkdir(parents=True)
        for name, rest in instructions(dockerfile):
            if self.stage is None and name not in ("ARG", "FROM"):
                raise ValueError(f"{name} before FROM")
            getattr(self, f"_do_{name.lower()}", self._unknown)(rest)

    @property
    def now(self) -> Stage:
        assert self.stage is not None
        return self.stage

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], stdout: int | IO[str] = subprocess.PIPE
    ) -> "subprocess.Popen[str]":
        """Starts a command as in a container of the stage; its standard error goes where its output goes."""
        environment = self.now.environment | dict(environment)
        program = shutil.which(command[0], path=environment["PATH"])
        assert program, f"{command[0]} is not in the image"
        becomes = bool(self.now.user) and os.geteuid() == 0  # nobody but root can become somebody else
        user, group = (int(number) for number in self.now.user.split(":")) if becomes else (None, None)
        return subprocess.Popen(  # noqa: S603  # our own command
            [program, *command[1:]],
            cwd=self.now.directory,
            env=environment,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            user=user,
            group=group,
            extra_groups=[] if becomes else None,
        )

    def _unknown(self, rest: str) -> None:
        raise NotImplementedError(f"an instruction that these tests do not know: … {rest}")

    def _do_arg(self, rest: str) -> None:
        name, given, default = rest.partition("=")
        if self.stage is None:
            self.globals[name] = self.given.get(name, default)
        elif given or name in self.globals:
            self.stage.arguments[name] = self.given.get(name, default if given else self.globals[name])

    def _do_from(self, rest: str) -> None:
        image, _, name = rest.partition(" AS ")
        if not re.fullmatch(r"python:3\.\d+-slim", image):
            raise NotImplementedError(f"a base that these tests do not have: {image}")
        if self.stage is not None:
            self.kept[self.stage.name] = self.root.rename(self.root.with_name(f"stage-{self.stage.name}"))
            self.root.mkdir()
        base = self.root.with_name("base")  # what the image at the base brings: a `python`
        base.mkdir(exist_ok=True)
        python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        (base / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n')
        (base / "python").chmod(0o755)
        host = {key: value for key, value in os.environ.items() if key in HOST or key.startswith("PIP_")}
        self.stage = Stage(name, host | {"PATH": f"{base}:/usr/local/bin:/usr/bin:/bin"})

    def _do_env(self, rest: str) -> None:
        pairs = [pair.split("=", 1) for pair in shlex.split(rest)]
        self.now.environment |= {name: self.now.fill(value) for name, value in pairs}

    def _do_workdir(self, rest: str) -> None:
        self.now.directory = self._place(rest)
        self.now.directory.mkdir(parents=True, exist_ok=True)

    def _do_run(self, rest: str) -> None:
        process = self.run(["sh", "-c", rest], self.now.arguments)
        output, _ = process.communicate()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, rest, output)

    def _do_copy(self, rest: str) -> None:
        options, words = [], shlex.split(self.now.fill(rest))
        while words[0].startswith("--"):
            options.append(words.pop(0))
        *sources, target = words
        place = self._place(target)
        for source in sources:
            if options:
                (stage,) = (option.removeprefix("--from=") for option in options)
                # Moved, since that is quicker: whoever copied the same once more would find nothing.
                place.parent.mkdir(parents=True, exist_ok=True)
                (self.kept[stage] / self._place(source).relative_to(self.root)).rename(place)
            else:
                self._copy(self.context / source, place, into=target.endswith("/"))

    def _copy(self, source: Path, place: Path, *, into: bool) -> None:
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True, ignore=self._ignore, dirs_exist_ok=True)
        else:
            assert into, f"COPY of a file to {place}, which may become a file"
            assert not self._ignore(str(source.parent), [source.name]), f"{source} is in .dockerignore"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)

    def _ignore(self, directory: str, names: list[str]) -> set[str]:
        """The names that .dockerignore leaves out."""
        ignored = set()
        for name in names:
            path = str((Path(directory) / name).relative_to(self.context))
            deep = (pattern.removeprefix("**/") for pattern in self.ignored if pattern.startswith("**/"))
            top = (pattern for pattern in self.ignored if not pattern.startswith("**/"))
            if any(fnmatch(name, pattern) for pattern in deep) or any(
                "/" not in path and fnmatch(path, pattern) for pattern in top
            ):
                ignored.add(name)
        return ignored

    def _place(self, text: str) -> Path:
        """An absolute path of the image, here; ValueError for one outside `root`."""
        path = Path(os.path.normpath(self.now.directory / self.now.fill(text)))
        path.relative_to(self.root)
        return path

    def _do_user(self, rest: str) -> None:
        if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", rest):
            raise NotImplementedError(f"USER {rest}: write user and group as numbers, and not as root's")
        self.now.user = rest

    def _do_expose(self, rest: str) -> None:
        self.now.ports.append(int(rest))

    def _do_healthcheck(self, rest: str) -> None:
        options, command = rest.split(" CMD ", 1)
        if unknown := [
            word for word in options.split() if not re.fullmatch(r"--(interval|timeout|start-period)=\d+s", word)
        ]:
            raise NotImplementedError(f"HEALTHCHECK {unknown}")
        self.now.health = json.loads(command)

    def _do_cmd(self, rest: str) -> None:
        self.now.command = json.loads(rest)
