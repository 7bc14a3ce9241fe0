"""Where one request ends and the next begins, told strictly: two programs that read it differently (a proxy and a
server) can be made to take one request for two, and one client's for another's."""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST_CHUNK_LINE = 256
"""Bytes of the line before a chunk, its extensions included: clients send none."""

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_BARE = "a line ends with LF, where it must be CR LF"


class Framing:
    """Follows the bytes of one connection's requests ahead of the parser (h11), and stops at what h11 lets pass and
    others read differently: line ends other than CR LF, folded header lines, ``Content-Length`` twice or together with
    ``Transfer-Encoding``, codings other than ``chunked``, a coded body in HTTP/1.0, odd lines between chunks. All else
    that makes a request h11 judges, which gets nothing from the violation on.

    Attributes:
        violation: what is wrong, as a sentence about the request; "" as long as nothing is.
    """

    def __init__(self) -> None:
        self.violation = ""
        self._line = bytearray()  # what has come of a line
        self._left = 0  # bytes of a body or a chunk that are still to come, which may be anything
        self._take: Callable[[bytes], str] = self._take_request_line
        self._lengths: list[bytes] = []
        self._codings: list[bytes] = []
        self._is_old = False

    @property
    def is_at_rest(self) -> bool:
        """Whether the last request has come to its end and nothing of a next one has come."""
        return self._take == self._take_request_line and not self._line and not self._left

    def feed(self, data: bytes) -> int:
        """How many of these bytes may be given to the parser: all of them, or those before a violation; from then on,
        none."""
        at = 0
        while at < len(data) and not self.violation:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at) + 1
            if not end:
                self._line += data[at:]
                self.violation = self._judge_beginning()
                return at if self.violation else len(data)
            line = data[at:end]
            if self._line:
                line = bytes(self._line) + line
                self._line.clear()
            if line.endswith(b"\r\n") and line.count(b"\r") == 1:
                self.violation = self._take(line[:-2])
            else:
                self.violation = "a CR in a line is followed by no LF" if b"\r" in line else _BARE
            if not self.violation:
                at = end
        return at

    def _judge_beginning(self) -> str:
        if b"\r" in self._line[:-1]:
            return "a CR in a line is followed by no LF"
        if self._take == self._take_chunk_line and len(self._line) > LONGEST_CHUNK_LINE:
            return f"the line before a chunk is longer than {LONGEST_CHUNK_LINE} bytes"
        return ""

    def _take_request_line(self, line: bytes) -> str:
        self._is_old = line.endswith(b"HTTP/1.0")
        self._lengths.clear()
        self._codings.clear()
        self._take = self._take_header_line
        return ""

    def _take_header_line(self, line: bytes) -> str:
        if not line:
            return self._begin_body()
        if line[0] in b" \t":
            return "a header line begins with white space"
        if line[0] not in b"cCtT":
            return ""
        name, _, value = line.partition(b":")
        name = name.rstrip(b" \t").lower()
        if name == b"content-length":
            self._lengths.append(value.strip(b" \t"))
        elif name == b"transfer-encoding":
            self._codings.append(value.strip(b" \t").lower())
        return ""

    def _begin_body(self) -> str:
        self._take = self._take_request_line
        if self._codings:
            if self._lengths:
                return "Content-Length and Transfer-Encoding exclude each other"
            if self._is_old:
                return "HTTP/1.0 has no Transfer-Encoding"
            if self._codings != [b"chunked"]:
                return "the one Transfer-Encoding that is known is chunked"
            self._take = self._take_chunk_line
        elif self._lengths:
            if len(self._lengths) > 1 or not _LENGTH.fullmatch(self._lengths[0]):
                return "Content-Length must be one number"
            self._left = int(self._lengths[0])
        return ""

    def _take_chunk_line(self, line: bytes) -> str:
        found = _CHUNK_LINE.fullmatch(line)
        if not found or len(line) > LONGEST_CHUNK_LINE:
            return "the line before a chunk must be its size"
        self._left = int(found[1], 16)
        self._take = self._take_chunk_end if self._left else self._take_trailer
        return ""

    def _take_chunk_end(self, line: bytes) -> str:
        self._take = self._take_chunk_line
        return "a chunk is longer than was said" if line else ""

    def _take_trailer(self, line: bytes) -> str:
        if not line:
            self._take = self._take_request_line
        return "a header line begins with white space" if line[:1] in (b" ", b"\t") else ""
