"""The exception inside the reader, and text from untrusted files made fit to print."""

FETCH_AGAIN = "Delete the file and download it again, or check its source."
SAVE_WEIGHTS_ONLY = (
    "Do not use the file unless you trust its source; if you do, open it in PyTorch, save "
    "`model.state_dict()` with `torch.save` and read that file."
)
SAVE_ON_LITTLE_ENDIAN = (
    "Load it in PyTorch on a common (x86 or ARM) machine and save it again there."
)


class InvalidCheckpoint(Exception):
    """A file that is not read: the reason, as a clause with "it", and the fix, as sentences."""

    def __init__(self, reason: str, fix: str = FETCH_AGAIN):
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


class UnsafePickle(InvalidCheckpoint):
    """A pickle that asks for something weights never need."""

    def __init__(self, reason: str):
        super().__init__(reason, SAVE_WEIGHTS_ONLY)


def require(holds: bool, reason: str, fix: str = FETCH_AGAIN) -> None:
    """Raises `InvalidCheckpoint` unless `holds`; for reasons that are cheap to format."""
    if not holds:
        raise InvalidCheckpoint(reason, fix)


def printable(text: str | bytes, limit: int = 80) -> str:
    """Returns text from an untrusted file as one short, quoted, ASCII piece of a message."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return ascii(text if len(text) <= limit else text[:limit] + "...")
