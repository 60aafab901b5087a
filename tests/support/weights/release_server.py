"""A server on 127.0.0.1 that hands out one file in good and bad ways, named by the address."""

import contextlib
import gzip
import http.server
import itertools
import threading
import time
from collections.abc import Iterable, Iterator

NOWHERE = "http://127.0.0.1:9/"  # nothing listens at the discard port
HTML = b"<!DOCTYPE html>\n<html><body>Sign in to continue</body></html>\n"


class ReleaseServer(http.server.ThreadingHTTPServer):
    """`server.url("cut")` is the base address under which files come cut off, and so on."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, body: bytes):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = body
        self.requests: list[str] = []
        self.closing = threading.Event()

    def url(self, manner: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{manner}/"

    def handle_error(self, request, client_address):
        """A killed client is part of the tests: no traceback."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.close_connection = True
        manner = self.path.split("/")[1]
        self.server.requests.append(manner)
        body = self.server.body
        size, at = len(body), len(body) // 2
        half, rest, packed = body[:at], body[at:], gzip.compress(body)
        pieces = [body[start : start + size // 20 + 1] for start in range(0, size, size // 20 + 1)]
        length, chunked = {"Content-Length": size}, {"Transfer-Encoding": "chunked"}
        empty = {"Content-Length": 0}
        answers = {  # headers, and pieces of the body
            "whole": (length, [body]),
            "slow": (length, pieces),
            "drip": (length, itertools.repeat(b"x", 400)),
            "fast_then_drip": (length, itertools.chain([half], itertools.repeat(b"x", 400))),
            "cut": (length, [half]),
            "unmeasured": ({}, [body]),
            "cut_unmeasured": ({}, [half]),
            "chunked": (chunked, [half, rest, b""]),
            "cut_chunked": (chunked, [half]),
            "zipped": ({"Content-Length": len(packed), "Content-Encoding": "gzip"}, [packed]),
            "flipped": (length, [half, bytes([rest[0] ^ 1]), rest[1:]]),
            "html": ({"Content-Length": len(HTML)}, [HTML]),
            "empty": (empty, []),
            "odd_length": ({"Content-Length": "many"}, [body]),
            "stall": (length, [half]),
            "endless": (chunked, itertools.repeat(bytes(1 << 16), 10_000)),
            "redirect": ({**empty, "Location": self.path.replace("/redirect/", "/whole/")}, []),
            "redirect_to_file": ({**empty, "Location": "file:///etc/hostname"}, []),
            "redirect_loop": ({**empty, "Location": self.path}, []),
        }
        if manner in answers:
            self._answer(*answers[manner], pause=0.05 if manner[-4:] in ("slow", "drip") else 0.0)
        elif manner != "silent":
            self.send_error(int(manner))
        if manner in ("stall", "silent"):
            self.server.closing.wait(20)

    def _answer(self, headers: dict, pieces: Iterable[bytes], pause: float):
        self.send_response(302 if "Location" in headers else 200)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, str(value))
        self.end_headers()
        for piece in pieces:
            chunked = "Transfer-Encoding" in headers
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            time.sleep(pause)

    def log_message(self, *args):
        """Nothing on stderr."""


@contextlib.contextmanager
def serving(body: bytes) -> Iterator[ReleaseServer]:
    with ReleaseServer(body) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()
