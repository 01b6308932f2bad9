"""A judge's endpoint on this machine: tests/judge_server.py in a process of its own."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path


class Endpoint:
    """A running judge server."""

    def __init__(self, *words):
        command = [sys.executable, str(Path(__file__).parent / "judge_server.py"), *map(str, words)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def stats(self):
        with urllib.request.urlopen(f"{self.url}/stats") as response:
            return json.load(response)

    def next_batches(self, **behaviour):
        self._post("next-batch", {"ends": "completed", "answers": 1.0, "looks": 1} | behaviour)

    def batches(self, *behaviours):
        """How the next batches behave, one after the other; those behind them run well."""
        self._post("batch-script", list(behaviours))

    def script(self, *kinds):
        """What happens to the next calls, one after the other."""
        self._post("script", list(kinds))

    def _post(self, path, what):
        body = json.dumps(what).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{path}", body, {"Content-Type": "application/json"}))

    def stop(self):
        self.process.kill()
        self.process.wait()
