"""The terminal screen of human RAP: the request, the response so far, and the target's ranked candidates.

Enter picks the marked candidate, digits jump to a rank, b takes the last token back (in a blind study at the first step: next request), u undoes, s stops,
q quits (to go on later). Two bars show how many requests and interactions are done. It redacts
nothing: the person works on the text. Every action is on disk before the next key is read.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.widgets import DataTable, Footer, Header, Label, ProgressBar, Static

from presto_bench.attacks.human import sessions


@dataclass(frozen=True)
class Task:
    """One request to work on. candidates: picked ids -> [(token, probability)], best first; text: ids -> text.

    title: what the screen says of the target; done, of: requests behind and in all. blind: taking back at the first step goes on to the next request.
    """

    prompt: str
    start: sessions.Start
    path: Path
    ends: Sequence[int]
    candidates: Callable[[tuple[int, ...]], list[tuple[int, float]]]
    text: Callable[[Sequence[int]], str]
    title: str = ""
    done: int = 0
    of: int = 1
    blind: bool = False


class RapScreen(App[str]):
    """Returns `finished` or `quit`."""

    TITLE = "presto-bench rap"
    BINDINGS = [("b", "take_back", "Take back"), ("u", "undo", "Undo"), ("s", "stop", "Stop"), ("q", "quit_session", "Quit")]
    CSS = "#prompt {padding: 1 2;} #response {padding: 1 2; border: round $accent; min-height: 5;} DataTable {height: 1fr;} .bar {height: 1; padding: 0 1;} .bar Label {width: 15;}"

    def __init__(self, task: Task):
        super().__init__()
        self.job = task
        self.sub_title = task.title
        self.typed = ""
        self.shown: list[tuple[int, float]] = []
        self.clock = time.monotonic()
        self.states = [sessions.State()]

    def compose(self) -> ComposeResult:
        yield Header()
        yield Static(Text(self.job.prompt), id="prompt")
        yield Static(id="response")
        yield DataTable(id="candidates", cursor_type="row")
        for name, of in (("requests", self.job.of), ("interactions", self.job.start.max_steps)):
            with Horizontal(classes="bar"):
                yield Label(name)
                yield ProgressBar(total=of, show_eta=False, id=f"{name}_done")
        yield Static(id="status")
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns("rank", "token", "probability")
        if self.job.path.exists():
            start, events = sessions.read(self.job.path)
            self.states = sessions.replay(start, events, self.job.ends)
        else:
            sessions.begin(self.job.path, self.job.start)
        table.focus()
        self.refresh_all()

    @property
    def state(self) -> sessions.State:
        return self.states[-1]

    def refresh_all(self) -> None:
        response = Text(self.job.text(self.job.start.prefill_ids), style="dim")
        response.append(self.job.text([*self.job.start.prefill_ids, *self.state.picked])[len(response.plain) :], style="bold")
        self.query_one("#response", Static).update(response)
        self.query_one("#requests_done", ProgressBar).update(progress=self.job.done)
        self.query_one("#interactions_done", ProgressBar).update(progress=self.state.steps)
        left = self.job.start.max_steps - self.state.steps
        self.query_one("#status", Static).update(f" {left} steps left, {self.state.backtracks} taken back")
        if self.state.finish is not None:
            self.exit("finished")
            return
        self.shown = self.job.candidates(self.state.picked)
        table = self.query_one(DataTable)
        table.clear()
        for rank, (token, probability) in enumerate(self.shown, 1):
            shown = "⏎ end of the answer" if token in self.job.ends else repr(self.job.text([token]))[1:-1]
            table.add_row(str(rank), Text(shown), f"{probability:.4f}")
        table.move_cursor(row=0)

    def record(self, **event: Any) -> None:
        now = time.monotonic()
        sessions.record(self.job.path, {**event, "seconds": round(now - self.clock, 3)})
        self.clock = now

    def on_key(self, event: Any) -> None:
        """Digits typed in a row move to that rank."""
        if not event.key.isdigit():
            self.typed = ""
            return
        self.typed = (self.typed + event.key)[-3:]
        if not 1 <= int(self.typed) <= len(self.shown):
            self.typed = event.key
        if 1 <= int(self.typed) <= len(self.shown):
            self.query_one(DataTable).move_cursor(row=int(self.typed) - 1)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        token, _ = self.shown[event.cursor_row]
        self.record(event="pick", rank=event.cursor_row + 1, token=token)
        self.states.append(sessions.pick(self.state, token, self.job.ends, self.job.start.max_steps))
        self.refresh_all()

    def action_take_back(self) -> None:
        if self.job.blind and not self.state.steps:
            self.record(event="skip")
            self.exit("finished")
            return
        if not self.state.picked:
            self.bell()
            return
        self.record(event="back")
        self.states.append(sessions.back(self.state, self.job.start.max_steps))
        self.refresh_all()

    def action_undo(self) -> None:
        if len(self.states) == 1:
            self.bell()
            return
        self.record(event="undo")
        self.states.pop()
        self.refresh_all()

    def action_stop(self) -> None:
        self.record(event="stop")
        self.exit("finished")

    def action_quit_session(self) -> None:
        self.record(event="quit")
        self.exit("quit")
