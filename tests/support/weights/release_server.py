"""A server on 127.0.0.1 that hands out one file in good and bad ways, named by the address."""

import contextlib
import gzip
import http.server
import itertools
import threading
import time
from collections.abc import Iterator

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
        manner, _, _name = self.path.strip("/").partition("/")
        self.server.requests.append(manner)
        body = self.server.body
        size, at = len(body), len(body) // 2
        half, rest, packed = body[:at], body[at:], gzip.compress(body)
        pieces = [body[start : start + size // 20 + 1] for start in range(0, size, size // 20 + 1)]
        answers = {
            "whole": {"length": size, "pieces": [body]},
            "slow": {"length": size, "pieces": pieces, "pause": 0.05},
            "cut": {"length": size, "pieces": [half]},
            "unmeasured": {"pieces": [body]},
            "cut_unmeasured": {"pieces": [half]},
            "chunked": {"chunked": True, "pieces": [half, rest, b""]},
            "cut_chunked": {"chunked": True, "pieces": [half]},
            "zipped": {"length": len(packed), "pieces": [packed], "encoding": "gzip"},
            "flipped": {"length": size, "pieces": [half, bytes([rest[0] ^ 1]), rest[1:]]},
            "html": {"length": len(HTML), "pieces": [HTML]},
            "empty": {"length": 0, "pieces": []},
            "odd_length": {"length": "many", "pieces": [body]},
            "stall": {"length": size, "pieces": [half]},
            "endless": {"chunked": True, "pieces": itertools.repeat(bytes(1 << 16), 10_000)},
        }
        redirects = {
            "redirect": self.path.replace("/redirect/", "/whole/"),
            "redirect_to_file": "file:///etc/hostname",
            "redirect_loop": self.path,
        }
        if manner in answers:
            self._answer(**answers[manner])
        elif manner in redirects:
            self._redirect(redirects[manner])
        elif manner != "silent":
            self.send_error(int(manner))
        if manner in ("stall", "silent"):
            self.server.closing.wait(20)

    def _redirect(self, location: str):
        self.send_response(302)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def _answer(self, *, pieces, length=None, chunked=False, encoding=None, pause=0.0):
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if encoding is not None:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces:
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
