"""Strict checks of where one request ends and the next begins. If two programs (a proxy and a server) disagree on that,
they can be tricked into reading one request as two, or one client's request as another's."""

from __future__ import annotations

import re
from collections.abc import Callable

LONGEST_CHUNK_LINE = 256
"""Maximum bytes of the line before a chunk, including its extensions, which clients do not send."""

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_BARE = "a line ends with LF instead of CR LF"


class Framing:
    """Follows the bytes of one connection's requests ahead of the parser (h11). It stops at anything that h11 accepts
    but other programs read differently: line ends other than CR LF, folded header lines, ``Content-Length`` twice or
    together with ``Transfer-Encoding``, codings other than ``chunked``, a coded body in HTTP/1.0, malformed lines
    between chunks. h11 checks everything else about a request; it gets no bytes from the violation on.

    Attributes:
        violation: what is wrong, as a sentence about the request; "" while nothing is wrong.
    """

    def __init__(self) -> None:
        self.violation = ""
        self._line = bytearray()  # the part of a line that has arrived
        self._left = 0  # bytes of a body or a chunk that have not arrived yet; they can be anything
        self._take: Callable[[bytes], str] = self._take_request_line
        self._lengths: list[bytes] = []
        self._codings: list[bytes] = []
        self._is_old = False

    @property
    def is_at_rest(self) -> bool:
        """Whether the last request has ended and nothing of the next one has arrived."""
        return self._take == self._take_request_line and not self._line and not self._left

    def feed(self, data: bytes) -> int:
        """Check the next bytes. Return how many of them the parser may get: all, or only those before a violation;
        after a violation, none."""
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
                self.violation = "a CR in a line is not followed by LF" if b"\r" in line else _BARE
            if not self.violation:
                at = end
        return at

    def _judge_beginning(self) -> str:
        if b"\r" in self._line[:-1]:
            return "a CR in a line is not followed by LF"
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
                return "the only Transfer-Encoding that is supported is chunked"
            self._take = self._take_chunk_line
        elif self._lengths:
            if len(self._lengths) > 1 or not _LENGTH.fullmatch(self._lengths[0]):
                return "Content-Length must be a single number"
            self._left = int(self._lengths[0])
        return ""

    def _take_chunk_line(self, line: bytes) -> str:
        found = _CHUNK_LINE.fullmatch(line)
        if not found or len(line) > LONGEST_CHUNK_LINE:
            return "the line before a chunk must be the chunk's size"
        self._left = int(found[1], 16)
        self._take = self._take_chunk_end if self._left else self._take_trailer
        return ""

    def _take_chunk_end(self, line: bytes) -> str:
        self._take = self._take_chunk_line
        return "a chunk is longer than its size" if line else ""

    def _take_trailer(self, line: bytes) -> str:
        if not line:
            self._take = self._take_request_line
        return "a header line begins with white space" if line[:1] in (b" ", b"\t") else ""
