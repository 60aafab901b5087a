"""A loop over the pickle opcodes that torch.save writes; every other opcode is refused.

It builds nothing but plain values and asks `TorchGlobals` for the rest.
"""

import pickletools
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

from t2t_keras.weights.torch_reader.globals import TorchGlobals
from t2t_keras.weights.torch_reader.invalid import (
    InvalidCheckpoint,
    UnsafePickle,
    printable,
    require,
)

MAX_PICKLE_BYTES = 4 << 20
_MAX_STEPS = 200_000
_MAX_OPEN_MARKS = 64
_TOO_MANY_MARKS = f"it nests deeper than {_MAX_OPEN_MARKS} levels"
_MAX_LINE_BYTES = 1024
_HIGHEST_PROTOCOL = 5
_KEY_LIMIT = 2**60  # Python hashes larger integers modulo 2**61 - 1, so they can be made to collide
_DECIMAL = re.compile(rb"-?[0-9]{1,40}L?")
_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}


class Unpickler:
    """Reads the pickle at `position` of `data`; afterwards `position` is its end."""

    def __init__(self, data: bytes, position: int, known: TorchGlobals):
        self.position = position
        self._data = data
        self._known = known
        self._stack: list = []
        self._outer: list[list] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Returns the pickled value; an error names the place in the pickle."""
        try:
            for _ in range(_MAX_STEPS):
                code = self._take(1)[0]
                if code == _STOP:
                    one = len(self._stack) == 1 and not self._outer
                    require(one, "it does not end with exactly one value")
                    return self._stack.pop()
                step = _STEPS.get(code)
                if step is None:
                    self._raise_unknown(code)
                step(self)
        except InvalidCheckpoint as error:
            raise InvalidCheckpoint(f"{self._place()}: {error.reason}", error.fix) from None
        raise InvalidCheckpoint(f"its pickle has more than {_MAX_STEPS} steps")

    def _place(self) -> str:
        """Names the last text on the stack, usually a tensor's name."""
        frames = (*self._outer, self._stack)
        texts = (v for frame in reversed(frames) for v in reversed(frame) if type(v) is str)
        text = next(texts, None)
        return "in the pickle" if text is None else f"in the pickle near {printable(text)}"

    def _raise_unknown(self, code: int) -> NoReturn:
        if code == _INST:
            self._known.find(*self._lines())
        name = _NAMES.get(code)
        opcode = f"the opcode {name}" if name else f"the byte 0x{code:02x}, which is no opcode"
        raise UnsafePickle(f"it uses {opcode}; torch never writes that")

    def _take(self, count: int) -> bytes:
        end = self.position + count
        require(end <= len(self._data), "it is cut off")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def _unsigned(self, count: int) -> int:
        return int.from_bytes(self._take(count), "little")

    def _signed(self, count: int) -> int:
        return int.from_bytes(self._take(count), "little", signed=True)

    def _text(self, count: int) -> str:
        try:
            return self._take(count).decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidCheckpoint("a text is not UTF-8") from None

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self.position, self.position + _MAX_LINE_BYTES)
        require(end >= 0, "a line does not end")
        return self._take(end + 1 - self.position)[:-1]

    def _lines(self) -> tuple[str, str]:
        try:
            return self._line().decode("utf-8"), self._line().decode("utf-8")
        except UnicodeDecodeError:
            raise UnsafePickle("a global's name is not UTF-8") from None

    def _pop(self, count: int) -> list:
        require(len(self._stack) >= count, "it takes a value from an empty stack")
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return taken

    def _pop_marked(self) -> list:
        require(bool(self._outer), "it closes a group that was never opened")
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _mark(self) -> None:
        require(len(self._outer) < _MAX_OPEN_MARKS, _TOO_MANY_MARKS)
        self._outer.append(self._stack)
        self._stack = []

    def _protocol(self) -> None:
        protocol = self._unsigned(1)
        reason = f"it has the pickle protocol {protocol}, which does not exist"
        require(protocol <= _HIGHEST_PROTOCOL, reason)

    def _frame(self) -> None:
        count = self._unsigned(8)
        require(count <= len(self._data) - self.position, "it announces more bytes than there are")

    def _int_line(self) -> None:
        line = self._line()
        require(_DECIMAL.fullmatch(line) is not None, "a number is not decimal")
        is_bool = line in (b"00", b"01")
        self._push(line == b"01" if is_bool else int(line.removesuffix(b"L")))

    def _put(self, index: int) -> None:
        free = index not in self._memo and index < _MAX_STEPS
        require(free and bool(self._stack), "it notes a value where it may not")
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        require(index in self._memo, "it recalls a value that it never noted")
        self._push(self._memo[index])

    def _append(self, items: list) -> None:
        target = self._stack[-1] if self._stack else None
        if type(target) is not list:
            raise UnsafePickle("it appends to something that is not a list")
        target.extend(items)

    def _set_items(self, items: list) -> None:
        target: Any = self._stack[-1] if self._stack else None
        if type(target) not in (dict, OrderedDict) or len(items) % 2:
            raise UnsafePickle("it sets items of something that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str and (type(key) is not int or abs(key) >= _KEY_LIMIT):
                raise InvalidCheckpoint(
                    "a dict has a key that is neither text nor a small whole number"
                )
            if key in target:
                raise InvalidCheckpoint(f"a dict has the key {printable(str(key))} twice")
            target[key] = value

    def _build(self) -> None:
        target, state = self._pop(2)
        self._known.build(target, state)
        self._push(target)


_STOP, _INST = ord("."), ord("i")
_M = Unpickler
_STEPS: dict[int, Callable[[Unpickler], None]] = {
    0x80: _M._protocol,
    0x95: _M._frame,
    ord("("): _M._mark,
    ord("N"): lambda m: m._push(None),
    0x88: lambda m: m._push(True),
    0x89: lambda m: m._push(False),
    ord("J"): lambda m: m._push(m._signed(4)),
    ord("K"): lambda m: m._push(m._unsigned(1)),
    ord("M"): lambda m: m._push(m._unsigned(2)),
    0x8A: lambda m: m._push(m._signed(m._unsigned(1))),
    ord("I"): _M._int_line,
    ord("L"): _M._int_line,
    ord("G"): lambda m: m._push(struct.unpack(">d", m._take(8))[0]),
    ord("X"): lambda m: m._push(m._text(m._unsigned(4))),
    0x8C: lambda m: m._push(m._text(m._unsigned(1))),
    ord("B"): lambda m: m._push(m._take(m._unsigned(4))),
    ord("C"): lambda m: m._push(m._take(m._unsigned(1))),
    ord(")"): lambda m: m._push(()),
    0x85: lambda m: m._push(tuple(m._pop(1))),
    0x86: lambda m: m._push(tuple(m._pop(2))),
    0x87: lambda m: m._push(tuple(m._pop(3))),
    ord("t"): lambda m: m._push(tuple(m._pop_marked())),
    ord("]"): lambda m: m._push([]),
    ord("a"): lambda m: m._append(m._pop(1)),
    ord("e"): lambda m: m._append(m._pop_marked()),
    ord("}"): lambda m: m._push({}),
    ord("s"): lambda m: m._set_items(m._pop(2)),
    ord("u"): lambda m: m._set_items(m._pop_marked()),
    ord("c"): lambda m: m._push(m._known.find(*m._lines())),
    0x93: lambda m: m._push(m._known.find(*m._pop(2))),
    ord("R"): lambda m: m._push(m._known.reduce(*m._pop(2))),
    0x81: lambda m: m._push(m._known.new(*m._pop(2))),
    ord("b"): _M._build,
    ord("Q"): lambda m: m._push(m._known.persistent(*m._pop(1))),
    ord("q"): lambda m: m._put(m._unsigned(1)),
    ord("r"): lambda m: m._put(m._unsigned(4)),
    0x94: lambda m: m._put(len(m._memo)),
    ord("h"): lambda m: m._get(m._unsigned(1)),
    ord("j"): lambda m: m._get(m._unsigned(4)),
}
