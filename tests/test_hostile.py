"""A hostile wheel and a hostile conda package, from the requirements to the release."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from rattler.index import index_fs

from envpack.channel import conda_file
from tests.support.command import Desk
from tests.support.processes import running
from tests.support.wheels import write_wheel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux runs what it builds")

ACTS = """
import os, socket, subprocess
def act():
    where, marks, port, seconds, credentials = {facts!r}
    for work in (
        lambda: open(os.path.join(marks, where), "w").close(),
        lambda: open(os.path.join(marks, where + "-read"), "w").write(open(credentials).read()),
        lambda: socket.create_connection(("127.0.0.1", port), 2).send(where.encode()),
        lambda: subprocess.Popen(["sleep", seconds], start_new_session=True),
        lambda: [open(f"/proc/{{n}}/environ").read() for n in os.listdir("/proc") if n.isdigit()],
        lambda: os.kill(os.getppid(), 19),
    ):
        try:
            work()
        except OSError:
            pass
act()
"""
SHELL = (
    "touch {marks}/activation; (setsid sleep {seconds} &); cat {credentials} > {marks}/read; export ACTIVATED=1\n"
)


def test_hostile_packages_are_built_and_nothing_of_them_gets_out(desk: Desk) -> None:
    marks, credentials = desk.home / "marks", desk.home / "credentials"
    marks.mkdir()
    marks.chmod(0o777)
    credentials.write_text("secret")
    seconds = str(random.randint(10**8, 10**9))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def code(where: str) -> str:
            return ACTS.format(facts=(where, str(marks), port, seconds, str(credentials)))

        shelf = desk.home / "shelf"
        shelf.mkdir()
        line = f"import sys; exec({code('pth')!r})\n"
        write_wheel(shelf, "evil", "1", files={"evil.py": code("import"), "evil.pth": line})
        packages = f"lib/python{desk.channel.python.rpartition('.')[0]}/site-packages"
        script = SHELL.format(marks=marks, seconds=seconds, credentials=credentials)
        files = {
            f"{packages}/sitecustomize.py": code("sitecustomize"),
            f"{packages}/usercustomize.py": code("usercustomize"),
            f"{packages}/worse.pth": line.replace("'pth'", "'conda-pth'"),
            "etc/conda/activate.d/worse.sh": script,
        }
        channel = hostile_channel(desk.home / "hostile", files)
        desk.write(
            "e.yml",
            f"channels: ['{channel.as_uri()}', '{desk.channel.url}']",
            *("dependencies:", "- python", "- worse"),
            *("- pip:", "  - --no-index", "  - --find-links ./shelf", "  - evil"),
        )
        built = desk.build("e.yml", AWS_SECRET_ACCESS_KEY="secret")
        assert desk.run("verify", built["reference"]).code == 0
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert list(marks.iterdir()) == []
    assert not running(seconds)
    assert built["settings"]["conf"]["spark.executorEnv.ACTIVATED"] == "1"


def hostile_channel(directory: Path, files: dict[str, str]) -> Path:
    """Write a channel with a package `worse` that brings these files."""
    noarch = directory / "noarch"
    noarch.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        index = {
            "name": "worse",
            "version": "1",
            "build": "0",
            "build_number": 0,
            "subdir": "noarch",
            "noarch": "generic",
            "depends": ["python"],
        }
        conda_file.write(Path(root), noarch / "worse-1-0.conda", index=index, about={})
    asyncio.run(index_fs(directory, force=True))
    return directory
