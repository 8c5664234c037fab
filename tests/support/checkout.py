"""A fresh checkout as a reader of our documents has it: its files, its packages, and nothing of ours around it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOG = "background.log"
READY_LIMIT = 60.0  # seconds for a process to answer; some import a lot
NEEDED = ("Makefile", "README.md", "config", "examples", "pyproject.toml", "requirements.txt", "requirements-dev.txt")


def check_out(folder):
    """Put what a reader needs into `folder`, with the packages installed already."""
    for name in NEEDED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
    venv = folder / ".venv"
    venv.mkdir()
    for part in Path(sys.prefix).iterdir():
        (venv / part.name).symlink_to(part)
    ready = venv / ".ready"
    ready.unlink(missing_ok=True)
    ready.touch()  # newer than the requirements: make finds nothing to install


def environment():
    """What a shell needs; nothing that could hold a key, and no flags of a make around us."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    # The runner loads a .env over its environment: a developer's own must not lead it to the real Daily.
    return kept | {"PYTHON_DOTENV_DISABLED": "1", "PYTHONUTF8": "1", "TERM": "dumb"}


def started(script, *, folder, processes, is_ready):
    """A process that goes on, once it is ready; it ends with `processes`. What it says is in `background.log`."""
    log = processes.enter_context((folder / LOG).open("ab"))
    process = subprocess.Popen(["sh", "-c", script], cwd=folder, env=environment(), stdout=log, stderr=log)
    processes.callback(stop, process)
    deadline = time.monotonic() + READY_LIMIT
    while not is_ready():
        assert process.poll() is None, f"{script} ended: {said(folder)}"
        assert time.monotonic() < deadline, f"{script} is not ready: {said(folder)}"
        time.sleep(0.05)
    return process


def said(folder):
    """What all processes said that were started there."""
    return (folder / LOG).read_text(errors="replace")


def is_written(path):
    return path.exists() and path.read_text().endswith("\n")


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except urllib.error.URLError:
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
