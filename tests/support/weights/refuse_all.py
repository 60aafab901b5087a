"""Run as a program: reads every path listed in a file and reports what reading it did.

`python -m tests.support.weights.refuse_all PATHS REPORT`, where PATHS holds a JSON list of paths
and REPORT becomes a JSON list of objects: path, error (its type, or null), message, seconds (of
processor time), peak_bytes (measured in a second reading, as measuring is slow) and events
(everything that Python's audit hooks saw besides the opening of the path itself).
"""

import json
import resource
import sys
import time
import tracemalloc
from pathlib import Path

from t2t_keras.weights import torch_reader

MEMORY_TO_SPARE = 2 << 30
HARMLESS_EVENTS = {"builtins.id"}


def main(paths_file: str, report_file: str) -> None:
    paths = json.loads(Path(paths_file).read_text(encoding="utf-8"))
    events: list[str] = []
    watched: list[str] = []

    def watch(event: str, arguments: tuple) -> None:
        if watched and event not in HARMLESS_EVENTS and not is_opening(event, arguments):
            events.append(f"{event} {arguments!r}"[:200])

    def is_opening(event: str, arguments: tuple) -> bool:
        return event == "open" and (arguments[0] == watched[0] or type(arguments[0]) is int)

    sys.addaudithook(watch)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_TO_SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    report = []
    for path in paths:
        events.clear()
        start = time.process_time()
        watched.append(path)
        error, message = _read(path)
        watched.clear()
        entry = {"path": path, "error": error, "message": message, "events": list(events)}
        entry["seconds"] = time.process_time() - start
        tracemalloc.start()
        _read(path)
        report.append({**entry, "peak_bytes": tracemalloc.get_traced_memory()[1]})
        tracemalloc.stop()
    Path(report_file).write_text(json.dumps(report), encoding="utf-8")


def _read(path: str) -> tuple[str | None, str]:
    try:
        torch_reader.read_torch_checkpoint(path)
    except BaseException as error:  # noqa: BLE001 - whatever comes out is what the test judges
        return type(error).__name__, str(error)
    return None, ""


if __name__ == "__main__":
    main(*sys.argv[1:])
