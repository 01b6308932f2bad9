"""A real llama.cpp server on this machine's CPU, from PyPI's `xllamacpp`, in an environment of its own: its wheels need other versions than ours.

python tests/llama_server.py MODEL.gguf PORT     serves until killed; to be run by that environment's Python
"""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from contextlib import contextmanager
from pathlib import Path

PINNED = "xllamacpp==2026.10.11549"  # llama.cpp build 11549
CONTEXT, SLOTS = 4096, 4


def environment(folder):
    """The environment's Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", PINNED], check=True)
    return python


def dequantised(source, target):
    """A GGUF file with float32 weights, from one with quantised ones: so server and loaded model compute with the same numbers."""
    import gguf

    read = gguf.GGUFReader(source)
    architecture = read.fields["general.architecture"].contents()
    write = gguf.GGUFWriter(target, architecture)
    for field in read.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        inner = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        write.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    write.add_file_type(gguf.LlamaFileType.ALL_F32)
    for tensor in read.tensors:
        write.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32"))
    write.write_header_to_file()
    write.write_kv_data_to_file()
    write.write_tensors_to_file()
    write.close()
    return target


@contextmanager
def serving(python, model):
    """Base URL of a server with that GGUF file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([python, __file__, model, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _wait(process, url, seconds=120):
    for _ in range(seconds):
        assert process.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(url):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(1)
    raise TimeoutError(url)


def _serve(model, port):
    import xllamacpp

    asked = xllamacpp.CommonParams()
    asked.model.path, asked.port = str(Path(model)), int(port)
    asked.n_ctx, asked.n_parallel, asked.cpuparams.n_threads = CONTEXT, SLOTS, 1
    server = xllamacpp.Server(asked)  # it serves for as long as this object is there
    while server:
        time.sleep(60)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
