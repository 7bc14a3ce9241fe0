"""Requests that two programs could read differently, and unusual ones that are valid."""

from __future__ import annotations

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"

AMBIGUOUS: dict[str, bytes] = {
    "both lengths": _POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, the other way round": _POST + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    "two equal lengths": _POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": _POST + b"Content-Length: 4, 4\r\n\r\nabcd",
    "a length with a sign": _POST + b"Content-Length: +4\r\n\r\nabcd",
    "an empty length": _POST + b"Content-Length: \r\n\r\n",
    "a length in hexadecimal": _POST + b"Content-Length: 0x4\r\n\r\nabcd",
    "an unknown coding": _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a repeated coding": _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "LF alone, everywhere": b"GET / HTTP/1.1\nHost: a\n\n",
    "LF alone after the request": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "LF alone after a header": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "LF alone at the end": _GET + b"\n",
    "CR alone in a header": _GET + b"X: y\rZ: 1\r\n\r\n",
    "CR CR LF": _GET + b"X: y\r\r\n\r\n",
    "a folded line": _GET + b"X: y\r\n z\r\n\r\n",
    "a folded line with a tab": _GET + b"X: y\r\n\tz\r\n\r\n",
    "white space before a colon": _GET + b"Content-Length : 4\r\n\r\n",
    "white space before the first header": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "two hosts": _GET + b"Host: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a chunk's size is not a number": _CHUNKED + b"x\r\nabcd\r\n0\r\n\r\n",
    "a chunk's size has a sign": _CHUNKED + b"+4\r\nabcd\r\n0\r\n\r\n",
    "a chunk's size has white space": _CHUNKED + b"4 \r\nabcd\r\n0\r\n\r\n",
    "a chunk's size has 17 digits": _CHUNKED + b"00000000000000004\r\nabcd\r\n0\r\n\r\n",
    "LF alone after a chunk's size": _CHUNKED + b"4\nabcd\r\n0\r\n\r\n",
    "LF alone in a chunk's extension": _CHUNKED + b"4;x\nabcd\r\n0\r\n\r\n",
    "CR alone in a chunk's extension": _CHUNKED + b"4;x\ry\r\nabcd\r\n0\r\n\r\n",
    "an endless extension": _CHUNKED + b"4;" + b"x" * 300,
    "LF alone after a chunk": _CHUNKED + b"4\r\nabcd\n0\r\n\r\n",
    "a chunk is too long": _CHUNKED + b"4\r\nabcdef\r\n0\r\n\r\n",
    "LF alone after the last chunk": _CHUNKED + b"4\r\nabcd\r\n0\r\n\n",
    "LF alone in a trailer": _CHUNKED + b"4\r\nabcd\r\n0\r\nX: y\n\r\n",
}

CLEAR: dict[str, bytes] = {
    "no body": _GET + b"\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab",
    "a length": _POST + b"Content-Length: 4\r\n\r\n\n\r\n\r",
    "a length of 0": _POST + b"Content-Length: 0\r\n\r\n",
    "a length without white space": _POST + b"content-LENGTH:4\r\n\r\nabcd",
    "chunks": _POST + b"TRANSFER-encoding:Chunked\r\n\r\n4\r\n\nb\rd\r\n0A\r\n0123456789\r\n0\r\n\r\n",
    "an extension": _CHUNKED + b'4;name="value"\r\nabcd\r\n0\r\n\r\n',
    "a trailer": _CHUNKED + b"4\r\nabcd\r\n0\r\nX: y\r\n\r\n",
    "an empty header": _GET + b"X:\r\nY: \r\n\r\n",
}
