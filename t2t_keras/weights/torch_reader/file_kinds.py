"""How a checkpoint starts; and what a file that is none looks like, for the error message."""

FETCH_AGAIN = "Delete the file and download it again, or check its source."
SAVE_WEIGHTS_ONLY = (
    "Do not use the file unless you trust its source; if you do, open it in PyTorch, save "
    "`model.state_dict()` with `torch.save` and read that file."
)


class InvalidCheckpoint(Exception):
    """A file cannot be read; the reader's entry point turns this into a `CheckpointError`.

    Args:
        reason: What is wrong, as a clause that follows the file's name.
        fix: What the user can do about it, as whole sentences.
    """

    def __init__(self, reason: str, fix: str = FETCH_AGAIN):
        super().__init__(reason)
        self.reason = reason
        self.fix = fix

    def within(self, place: str) -> "InvalidCheckpoint":
        """The same refusal, its reason led by the place inside the file that it is about."""
        return InvalidCheckpoint(f"{place}: {self.reason}", self.fix)


def printable(text: str | bytes, limit: int = 80) -> str:
    """`text` from an untrusted file as one short, printable, ASCII piece of a message."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return ascii(text if len(text) <= limit else text[:limit] + "...")


ZIP_START = b"PK\x03\x04"  # torch.save since 1.6
# The stream before it: pickle protocols 2 and up, and 1, which writes its magic number as text.
LEGACY_STARTS = (b"\x80", b"L119547037146038801333356L")

_TAR_MARK_AT = 257
_STARTS = (
    (b"version https://git-lfs", "a git-lfs pointer, so the data itself was not fetched"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89HDF", "an HDF5 file, such as Keras' .h5"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x7fELF", "a program"),
    (b"{", "JSON"),
)
_HTML = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")


def looks_like(head: bytes) -> str:
    """A guess, from a file's first 512 bytes, at what it is."""
    if head[_TAR_MARK_AT : _TAR_MARK_AT + 5] == b"ustar":
        return "a tar archive: PyTorch's format before 0.2, or a packed folder"
    if head.lstrip().lower().startswith(_HTML):
        return "HTML, a web page in place of the file"
    if head[8:9] == b"{" and head[1:8].endswith(b"\0\0\0\0"):
        return "a safetensors file"
    for start, words in _STARTS:
        if head.startswith(start):
            return words
    if not head.strip(b"\0"):
        return "nothing but zeros"
    return "text" if head.isascii() and head.decode("ascii").isprintable() else "unknown data"
