"""A Python that is warm: processes forked from one that has imported the large libraries already.

Most of a workflow test's time was the start of its jobs, some ten seconds of imports each. `python()` gives the path of an interpreter that does
what Python does with a script or with one of MODULES, in a process of its own, without that start; anything else it hands to the real one. Nothing
of this project is imported before the fork: a process sees the sources as they are when it starts. Tests of faults and of a cluster start the
real Python.
"""

import atexit
import contextlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path

LIBRARIES = (
    "torch",
    "transformers.modeling_utils",
    "transformers.trainer",
    "transformers.models.llama.modeling_llama",
    "transformers.generation",
    "peft",
    "accelerate",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "matplotlib.pyplot",
    "accelerate.commands.launch",
    "snakemake.cli",
    "smart_open",  # these are Snakemake's, with its first Snakefile
    "nbformat",
    "docutils.parsers.rst.directives.images",
)
MODULES = ("snakemake", "accelerate.commands.launch", "presto_bench.training.launch")
# What is started: asks the warm process for a fork of itself and ends as that does.
CLIENT = """#!{real} -IS
import array, json, os, socket, sys
words = sys.argv[1:]
if words[:1] == ["-u"]:
    words = words[1:]
if not words or (words[0].startswith("-") and (words[0] != "-m" or words[1] not in {modules!r})):
    os.execv({real!r}, [{real!r}, *words])
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    fds = array.array("i", [0, 1, 2])
    line.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    asked = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
    line.sendall(len(asked).to_bytes(8, "big") + asked)
    status = line.recv(4)
sys.exit(int.from_bytes(status, "big") if len(status) == 4 else 1)
"""


@cache
def python() -> str:
    """Path of the warm interpreter; the process behind it ends with this one."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    address = str(folder / "line")
    client = folder / "python"
    client.write_text(CLIENT.format(real=sys.executable, address=address, modules=MODULES))
    client.chmod(0o755)
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, __file__, str(os.getpid()), str(client), str(server.fileno())],
        {name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        file_actions=[(os.POSIX_SPAWN_DUP2, server.fileno(), server.fileno())],
    )
    server.close()

    def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return str(client)


def serve(owner: int, client: str, line: socket.socket) -> None:
    """Fork for each that asks, until the owner is gone."""
    for name in LIBRARIES:
        __import__(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while os.getppid() == owner:
        if not select.select([line], [], [], 5)[0]:
            continue
        asking, _ = line.accept()
        if os.fork() == 0:
            line.close()
            _attend(asking, client)
        asking.close()


def _attend(asking: socket.socket, client: str) -> None:
    """Fork the process that was asked for, wait for it, and tell its status; it dies with whoever asked."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, fds, _, _ = socket.recv_fds(asking, 1, 3)
    size = int.from_bytes(asking.recv(8, socket.MSG_WAITALL), "big")
    words, folder, environment = json.loads(asking.recv(size, socket.MSG_WAITALL))
    pid = os.fork()
    if pid == 0:
        asking.close()
        _become(words, folder, environment, fds, client)
    watch = os.pidfd_open(pid)
    gone = asking in select.select([watch, asking], [], [])[0]
    if gone:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if not gone:
        code = os.waitstatus_to_exitcode(status)
        asking.sendall((code if code >= 0 else 128 - code).to_bytes(4, "big"))
    os._exit(0)


def _become(words: list[str], folder: str, environment: dict[str, str], fds: list[int], client: str) -> None:
    """Run the script or module as Python would."""
    for target, fd in enumerate(fds):
        os.dup2(fd, target)
        os.close(fd)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    here = str(Path(__file__).parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    sys.path[1:1] = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.executable = client
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(fd, mode, closefd=False) for fd, mode in ((0, "r"), (1, "w"), (2, "w")))
    code = 0
    try:
        if words[0] == "-m":
            sys.argv, sys.path[0] = words[1:], folder
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = words, str(Path(words[0]).parent)
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(code)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], socket.socket(fileno=int(sys.argv[3])))
