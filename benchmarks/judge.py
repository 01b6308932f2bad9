"""What the rubric judge's client makes of an endpoint: nothing lost or doubled under faults and kills, and how near to full speed.

python benchmarks/judge.py [--quick] > benchmarks/results/judge_<machine>.jsonl

Against tests/judge_server.py on this machine. One JSON object a line: name, value, unit, what it was measured on.
"""

import argparse
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))
import test_judges_online as online_tests  # noqa: E402

IN_FLIGHT = 64
GRADE = """
import sys
sys.path.insert(0, sys.argv[3])
import test_judges_online as t
class E: url = sys.argv[1]
t.judge(E, sys.argv[2], concurrency=int(sys.argv[5]), timeout=2.0).grade(t.items(int(sys.argv[4])))
"""


def report(name: str, value: float | bool, unit: str, **on: object) -> None:
    line = {"name": name, "value": value, "unit": unit, "on": on, "machine": f"{platform.machine()} CPU"}
    print(json.dumps(line), flush=True)


def under_faults(count: int) -> None:
    """`count` gradings, a fifth of the calls going wrong, killed twice; then every item's grade is looked at."""
    server = online_tests.Endpoint("--faults", 0.2, "--delay", 0.02)
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-c", GRADE, server.url, store, str(TESTS), str(count), str(IN_FLIGHT)]
        for share in (0.25, 0.6):
            process = subprocess.Popen(command)
            while len(list(Path(store).glob("??/*.json"))) < share * count and process.poll() is None:
                time.sleep(0.2)
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run(command, check=True)
        asked = online_tests.items(count)
        # What could not be read is asked again, as `retry_failed` does it; nothing else is.
        before = server.stats()["replies"]
        grades = {
            g.completion_id: g for g in online_tests.judge(server, store, concurrency=IN_FLIGHT, timeout=2.0).grade(asked)
        }
        stats = server.stats()
        server.stop()
        right = [
            (grades[i.completion_id].refusal, grades[i.completion_id].convincingness, grades[i.completion_id].specificity)
            == online_tests.right(i)[:3]
            for i in asked
            if grades[i.completion_id].status == "ok"
        ]
        valid = [len(json.loads(p.read_text())["attempts"]) for p in Path(store).glob("??/*.json")]
        repeated = stats["replies"] - len(right)
    on = {"items": count, "faults": 0.2, "kills": 2, "in_flight": IN_FLIGHT}
    report("items_lost_or_doubled", len(asked) - len(grades), "items", **on)
    report("graded_rightly", sum(right), "items", **on)
    report("graded_wrongly", len(right) - sum(right), "items", **on)
    report("missing_or_error", len(asked) - len(right), "items", **on)
    report("good_replies_paid_for_again", repeated, "calls", **on, bound=2 * IN_FLIGHT)
    report("good_replies_in_the_last_rerun", stats["replies"] - before, "calls", **on)
    report("questions_stored", len(valid), "files", **on)


def throughput(count: int, delay: float) -> None:
    """Gradings a second against what a server that answers after `delay` seconds could give."""
    server = online_tests.Endpoint("--delay", delay)
    with tempfile.TemporaryDirectory() as store:
        judge = online_tests.judge(server, store, concurrency=IN_FLIGHT, timeout=30)
        started = time.monotonic()
        grades = judge.grade(online_tests.items(count))
        seconds = time.monotonic() - started
    server.stop()
    assert all(g.status == "ok" for g in grades)
    ideal = -(-count // IN_FLIGHT) * delay
    report("throughput_share", round(ideal / seconds, 4), "share", items=count, delay_s=delay, in_flight=IN_FLIGHT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few items")
    quick = parser.parse_args().quick
    throughput(512 if quick else 3200, 0.5)
    under_faults(500 if quick else 10_000)
