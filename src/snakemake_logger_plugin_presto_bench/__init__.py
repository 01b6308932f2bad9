"""`snakemake --logger presto-bench`: one line a finished job and a live line for each that runs, with time left (presto_bench/runs/live.py).

Snakemake finds plug-ins by a module's name, which is why this one stands beside the package. Its own complete log is written as ever.
"""

from logging import LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase


class LogHandler(LogHandlerBase):
    """Hands Snakemake's events to the board."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        from presto_bench.runs.live import Board  # here: Snakemake imports every plug-in that it finds, at each start

        self.board = Board()

    def emit(self, record: LogRecord) -> None:
        event = getattr(record, "event", None)
        self.board.take(str(event) if event else "", record.__dict__, record.levelname)

    def close(self) -> None:
        self.board.close()
        super().close()
