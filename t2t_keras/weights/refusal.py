"""Why a checkpoint is refused, told by code that does not know the file's name."""

FETCH_AGAIN = "Delete the file and download it again, or check its source."
SAVE_WEIGHTS_ONLY = (
    "Do not use the file unless you trust its source; if you do, open it in PyTorch, save "
    "`model.state_dict()` with `torch.save` and read that file."
)


class Refusal(Exception):
    """A file cannot be read; the reader's entry point turns this into a `CheckpointError`.

    Args:
        reason: What is wrong, as a clause that follows the file's name.
        fix: What the user can do about it, as whole sentences.
    """

    def __init__(self, reason: str, fix: str = FETCH_AGAIN):
        super().__init__(reason)
        self.reason = reason
        self.fix = fix

    def within(self, place: str) -> "Refusal":
        """The same refusal, its reason led by the place inside the file that it is about."""
        return Refusal(f"{place}: {self.reason}", self.fix)


def quoted(text: str | bytes, limit: int = 80) -> str:
    """`text` from an untrusted file as one short, printable, ASCII piece of a message."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return ascii(text if len(text) <= limit else text[:limit] + "...")
