"""Run as a program with two files: reads the paths in the first, a JSON list, and reports.

The second becomes a JSON list: each path, error (its type), message, seconds of processor time,
events that Python's audit hooks saw besides the opening of the path, and peak_bytes (measured in a
second reading, as measuring is slow).
"""

import json
import resource
import sys
import time
import tracemalloc
from pathlib import Path

from t2t_keras.weights import torch_reader

MEMORY_TO_SPARE = 2 << 30
HARMLESS_EVENT = "builtins.id"


def main(paths_file: str, report_file: str) -> None:
    paths = json.loads(Path(paths_file).read_text(encoding="utf-8"))
    events: list[str] = []
    watched: list[str] = []

    def watch(event: str, arguments: tuple) -> None:
        if not watched or event == HARMLESS_EVENT:
            return
        if event != "open" or (arguments[0] != watched[0] and type(arguments[0]) is not int):
            events.append(f"{event} {arguments!r}"[:200])

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
