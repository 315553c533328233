"""docs/nginx.conf as it stands, but for addresses and files. The program is Debian's: no wheel carries it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.faults.server import ROOT
from ractory.tests.live import until
from ractory.tests.served import free_port

NGINX, COMPOSE = ROOT / "docs/nginx.conf", ROOT / "docs/deploy/nginx"
MAIN = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 768; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/nginx-site.conf;
}}
"""


@contextmanager
def nginx(site: dict[str, str], changes: dict[str, str]) -> Iterator[int]:
    """The port on which it listens: docs/nginx.conf with these two files, in which addresses are others here."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise RuntimeError("There is no nginx: apt-get install nginx-light")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ractory-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        certify(folder)
        (folder / "nginx-site.conf").write_text(NGINX.read_text().replace("/etc/nginx/ractory", name))
        content = "".join(f"@{file}\n{text}\n" for file, text in site.items())
        for old, new in changes.items():
            assert old in content, old
            content = content.replace(old, new.format(port=port, folder=name))
        for part in content.split("@")[1:]:
            file, _, text = part.partition("\n")
            (folder / file).write_text(text)
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
        command = [program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "log")]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        with subprocess.Popen(command) as process:
            try:
                until(lambda: (folder / "pid").read_text())  # `-t` has left an empty one
                yield port
            finally:
                process.terminate()


def certify(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(folder / "ractory.key"), "-out", str(folder / "ractory.pem")]
    subprocess.run([*command, *files], check=True, capture_output=True)
