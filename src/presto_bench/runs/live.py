"""A run as one watches it: a line for each finished job, a live line for each that runs, and the time that is left.

The board owns the terminal: jobs write to their log files (stages/job.py). Without a terminal there are plain lines and no live ones.
"""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from presto_bench import progress

SECONDS = Path(__file__).with_name(
    "seconds.json"
)  # of each rule's jobs in the demo, on 2 cores: what a share of the work is reckoned from
EARLY = 20.0  # seconds before which nothing is said of the time that is left


@dataclass(frozen=True)
class Running:
    """A job at work. what: its wildcards in words; log: its log file; since: seconds since the epoch."""

    rule: str
    what: str
    log: Path | None
    since: float


class Reckoning:
    """How much of a run's work is done, from what jobs of each rule take in relation to each other. counts: jobs of each rule."""

    def __init__(self, counts: Mapping[str, int], known: Mapping[str, float], began: float):
        self.open, self.known, self.began = Counter(counts), dict(known), began
        self.done = 0.0

    def finish(self, rule: str) -> None:
        self.open[rule] -= 1
        self.done += self.weight(rule)

    def weight(self, rule: str) -> float:
        """A rule that is not known counts as the middle of those that are."""
        values = sorted(self.known.values())
        return self.known.get(rule, values[len(values) // 2] if values else 1.0)

    def left(self, running: Mapping[str, float], now: float) -> float | None:
        """Seconds that are left, at the pace so far; None too early to say. running: shares done of jobs at work, by rule (summed)."""
        halves = sum(share * self.weight(rule) for rule, share in running.items())
        done = self.done + halves
        remaining = sum(count * self.weight(rule) for rule, count in self.open.items()) - halves
        if done <= 0 or now - self.began < EARLY:
            return None
        return max(remaining, 0.0) * (now - self.began) / done


class Board:
    """Takes Snakemake's events and draws them."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)
        self.began = time.time()
        self.known: dict[int, Running] = {}
        self.running: dict[int, Running] = {}
        self.total = self.finished = 0
        self.reckoning = Reckoning({}, {}, self.began)
        self.live: Live | None = None
        self.lock = threading.RLock()
        if self.console.is_terminal:
            os.environ[progress.QUIET] = "1"  # jobs keep off the terminal

    def take(self, event: str, said: Mapping[str, Any], level: str = "INFO") -> None:
        """One event of Snakemake's, with its fields."""
        with self.lock:
            handler = getattr(self, f"_{event}", None)
            if handler:
                handler(said)
            elif level in ("ERROR", "CRITICAL", "WARNING") and said.get("msg"):
                self.console.print(Text(str(said["msg"]), style="red" if level != "WARNING" else "yellow"))

    def close(self) -> None:
        if self.live:
            self.live.stop()
            self.live = None

    def _run_info(self, said: Mapping[str, Any]) -> None:
        counts = {rule: n for rule, n in dict(said.get("stats") or {}).items() if rule != "total"}
        self.total = sum(counts.values())
        self.reckoning = Reckoning(counts, _seconds(), self.began)
        self.console.print(f"{self.total} jobs to do")
        if self.console.is_terminal and self.live is None:
            self.live = Live(get_renderable=self.screen, console=self.console, refresh_per_second=2, transient=True)
            self.live.start()

    def _job_info(self, said: Mapping[str, Any]) -> None:
        log = said.get("log") or []
        log = [log] if isinstance(log, str) else list(log)
        words = "/".join(str(value) for value in dict(said.get("wildcards") or {}).values())
        self.known[said["jobid"]] = Running(said["rule_name"], words, Path(str(log[0])) if log else None, time.time())

    def _job_started(self, said: Mapping[str, Any]) -> None:
        for jobid in said.get("jobs") or ():
            if jobid in self.known:
                job = self.known[jobid]
                self.running[jobid] = Running(job.rule, job.what, job.log, time.time())

    def _job_finished(self, said: Mapping[str, Any]) -> None:
        job = self.running.pop(said["job_id"], None) or self.known.get(said["job_id"])
        if job is None:
            return
        self.finished += 1
        self.reckoning.finish(job.rule)
        mark = Text("done  ", style="green")
        if self.finished == self.total:
            self.close()  # the last screen is not the board's
        self.console.print(mark + Text(f"{_name(job)}  {clock(time.time() - job.since)}  [{self.finished} of {self.total}]"))

    def _job_error(self, said: Mapping[str, Any]) -> None:
        jobid = said.get("jobid")
        job = self.running.pop(jobid, None) or self.known.get(jobid)
        if job is None:
            return
        self.console.print(Text("failed  ", style="bold red") + Text(_name(job)))
        if job.log and job.log.exists():
            lines = job.log.read_text(errors="replace").splitlines()[-12:]
            self.console.print(Text("\n".join(f"    {line}" for line in lines)))
            self.console.print(Text(f"    all of it: {job.log}"))

    def screen(self) -> Group:
        """What is drawn again and again: jobs at work, and the whole."""
        with self.lock:
            now = time.time()
            told = {jobid: progress.read(file) for jobid, job in self.running.items() if (file := _file(job))}
            table = Table.grid(padding=(0, 2))
            for jobid, job in sorted(self.running.items()):
                table.add_row(_name(job), *_bar(told.get(jobid)), clock(now - job.since))
            shares: Counter[str] = Counter()
            for jobid, job in self.running.items():
                shares[job.rule] += told[jobid].share if told.get(jobid) else 0.0
            left = self.reckoning.left(shares, now)
            rest = f", about {clock(left)} left" if left is not None else ""
            return Group(table, Text(f"{self.finished} of {self.total} jobs, {clock(now - self.began)}{rest}", style="bold"))


def watch(results: Path, overview: Callable[[], str], console: Console | None = None, every: float = 2.0) -> None:
    """Draws where a run stands until it is interrupted, from its files alone: jobs may be on any node. overview: the rest of the screen."""
    console = console or Console()
    with Live(console=console, auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            live.update(Group(jobs_at_work(results), Text(overview())), refresh=True)
            time.sleep(every)


def jobs_at_work(results: Path) -> Table:
    """Jobs that told of their progress: what they are at, and how long ago they said so."""
    folder, now = results / "progress", time.time()
    table = Table.grid(padding=(0, 2))
    for path in sorted(folder.rglob("*.json")):
        told = progress.read(path)
        if told:
            left = (told.told - told.began) * (1 - told.share) / told.share if told.share > 0 else None
            rest = f"about {clock(left)} left" if left is not None else ""
            name = str(path.relative_to(folder).with_suffix(""))
            table.add_row(name, *_bar(told), rest, f"told {clock(now - told.told)} ago")
    return table


def _name(job: Running) -> str:
    return f"{job.rule} {job.what}".strip()


def _file(job: Running) -> Path | None:
    return progress.file_of(job.log) if job.log else None


def _bar(told: progress.Progress | None) -> tuple[Any, str]:
    if told is None:
        return "", ""
    rate = f", {told.rate:.1f} a second" if told.rate >= 1 else f", {1 / told.rate:.1f} s each" if told.rate > 0 else ""
    return ProgressBar(total=1.0, completed=told.share, width=20), f"{told.done} of {told.of} {told.unit}{rate}"


def _seconds() -> dict[str, float]:
    return json.loads(SECONDS.read_text()) if SECONDS.exists() else {}


def clock(seconds: float) -> str:
    """Minutes and seconds; hours where there are some."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
