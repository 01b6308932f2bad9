"""What graders replied, raw, one file a question, so that nothing is paid for twice (docs/howto/grading.md).

The store holds replies and not the texts that were graded; a question is its hash. Files are written whole and renamed, and
only their owner may read them. Several jobs may use one store at once: two that ask the same at the same moment both pay, and
one valid reply stays. Beside the replies a ledger counts every token that was paid for.
"""

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from presto_bench.errors import UserError
from presto_bench.tables import json_lines, owner_only


@dataclass(frozen=True)
class Reply:
    """One reply: its text (null where the model gave none), why it ended, and what it took."""

    text: str | None
    finish: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    raw: dict[str, Any] = field(default_factory=dict)


class ReplyStore:
    """Folder of replies: <first two hex digits>/<key>.json, each a list of attempts, oldest first."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def get(self, key: str) -> list[Reply]:
        """Attempts so far. A file that a dying file system left unreadable counts as none."""
        try:
            return [Reply(**attempt) for attempt in json.loads(self.path(key).read_bytes())["attempts"]]
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
            return []

    def add(self, key: str, reply: Reply) -> None:
        attempts = [*self.get(key), reply]
        self._write(self.path(key), json.dumps({"key": key, "attempts": [asdict(a) for a in attempts]}))

    def set_aside(self, key: str) -> None:
        """Forget a question's attempts, so that it is asked again; the file stays beside, under another name."""
        path = self.path(key)
        if path.exists():
            os.replace(path, path.with_name(f"{key}.{uuid.uuid4().hex[:8]}.set-aside.json"))

    def forget(self, key: str) -> int:
        """Delete a question's replies, those set aside included; how many files there were."""
        found = [*self.path(key).parent.glob(f"{key}*.json")]
        for path in found:
            path.unlink()
        return len(found)

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def paid(self, judge: str, reply: Reply) -> None:
        """One line in this process's ledger of a judge."""
        folder = self._made(self.folder / "ledger" / judge)
        with open(folder / f"{os.getpid()}.jsonl", "a", encoding="utf-8", opener=owner_only) as handle:
            handle.write(json.dumps([reply.prompt_tokens, reply.completion_tokens]) + "\n")

    def spent(self, judge: str) -> tuple[int, int, int]:
        """Calls, prompt tokens and completion tokens that were ever paid for."""
        lines = list(self._ledger(judge))
        return len(lines), sum(line[0] for line in lines), sum(line[1] for line in lines)

    def _ledger(self, judge: str) -> Iterator[list[int]]:
        for path in sorted((self.folder / "ledger" / judge).glob("*.jsonl")):
            for line in json_lines(path.read_text()):
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:  # cut short by a kill
                    continue

    def _write(self, path: Path, text: str) -> None:
        temporary = self._made(path.parent) / f".{path.name}.{uuid.uuid4().hex}.tmp"
        try:
            with open(temporary, "x", encoding="utf-8", opener=owner_only) as handle:
                handle.write(text)
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise UserError(
                path,
                f"a judge's reply could not be kept: {error.strerror or error}",
                "free space or fix the permissions of `reply_store`, then run snakemake again: replies so far are kept",
            ) from error

    def _made(self, folder: Path) -> Path:
        if not self.folder.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
