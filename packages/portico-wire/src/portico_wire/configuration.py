"""The grammar of a configuration: the lines that an agent lets a bundle say to HAProxy, and no others.

It is the last of the walls between what a user wrote and the host. So it knows no list of what is dangerous; it knows
each line that the controller writes, in the one spelling in which the controller writes it. A word in quotes where a
keyword belongs, a comment, a macro (``.if``), a variable, a section of the agent's: none is such a line, whatever
HAProxy would make of it.

What a user wrote stands in single quotes, in which HAProxy interprets nothing, or is a word without any character that
means something. Where HAProxy reads a text a second time (as a log format, or as a sample), it is held to that too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from portico_wire.decoding import WireError

_BARE = r"[A-Za-z0-9_.:/,=+@!()\[\]-]+"
_PARTS: Mapping[str, str] = {
    "NAME": r"[A-Za-z0-9_.:-]{1,255}",
    "NUMBER": r"[0-9]{1,10}",
    "TIME": r"[0-9]{1,10}s?",
    "BARE": _BARE,
    # One word, as it is: quotes within are '\''.
    "TEXT": rf"(?:{_BARE}|'[^']*'(?:\\''[^']*')*)",
    # The same where HAProxy reads a log format: each % is doubled.
    "FORMAT": rf"(?:{_BARE}|'(?:[^'%]|%%)*'(?:\\''(?:[^'%]|%%)*')*)",
    "CONDITION": r"if(?: !?[A-Za-z0-9_.:-]{1,255})+",
}
_ODD_NAME = r"\"(?:[^'\"\\]|'\\'')+\""
"""A header's or cookie's name in the quotes of a sample, within the quotes of a word."""
_FETCH = rf"(?:req\.(?:f?hdr|cook)\([A-Za-z0-9_.-]+\)|'req\.(?:f?hdr|cook)\({_ODD_NAME}\)')"
_EXTENSION = r"path,field\(-1,/\),regsub\(\^\[\^\.\]\*\$,\),(?:field\(-1,\.\)|regsub\(\^\.\*\[\.\],\.\))"
_SAMPLE = rf"(?:path|req\.fhdr\(host\)(?:,host_only)?|'{_EXTENSION}'|{_FETCH})"


def _cookie(direction: str, converters: str) -> str:
    """A sample of the cookie that a request (``req``) brings or a response (``res``) sets."""
    plain, odd = rf"{direction}\.cook\([A-Za-z0-9_.-]+\)", rf"{direction}\.cook\({_ODD_NAME}\)"
    return f"(?:{plain}{converters}|'{odd}{converters}')"


_KEY = ",sha1,hex"
_KNOWN = rf"(?:src,map_ip\(NAME\.map\)|{_cookie('req', _KEY + ',map[(]NAME[.]map[)]')})"

SECTIONS = ("defaults", "frontend NAME", "backend NAME")
LINES = (
    "mode (?:http|tcp)",
    'bind "fd@\\$\\{PORTICO_BIND_[A-Z0-9_]{1,200}\\}"',
    "maxconn NUMBER",
    "retries NUMBER",
    "timeout (?:client|connect|server|check|http-request|http-keep-alive) TIME",
    "load-server-state-from-file global",
    "option (?:allbackups|idle-close-on-response|forwardfor|httpchk|external-check|redispatch(?: 1)?)",
    "balance (?:roundrobin|leastconn|source)",
    "hash-type consistent",
    "default_backend NAME",
    "use_backend NAME(?: CONDITION)?",
    "acl allowed_cidrs src(?: BARE)+",
    r"acl known var\(txn\.server\) -m found",
    f"acl NAME {_SAMPLE}(?: -i)? -m (?:str|beg|end|sub|reg) -- TEXT",
    "tcp-request connection reject(?: unless allowed_cidrs)?",
    "tcp-request inspect-delay NUMBER",
    rf"tcp-request content set-var\(txn\.server\) {_KNOWN}",
    r"use-server '%\[var\(txn\.server\)\]' if known",
    "stick-table type (?:ipv6|string len 40) size 100k expire TIME",
    "stick on src",
    f"stick match {_cookie('req', _KEY)}",
    f"stick store-response {_cookie('res', _KEY)}",
    "cookie SRV insert indirect nocache(?: maxidle TIME)?",
    "http-request deny(?: CONDITION)?",
    "http-request redirect (?:location|prefix) FORMAT code NUMBER(?: CONDITION)?",
    "http-request set-header X-[A-Za-z-]{1,60} FORMAT",
    r"http-check send meth [A-Z]{1,10} uri TEXT ver HTTP/1\.[01](?: hdr Host FORMAT)?",
    "http-check expect status [0-9,-]+",
    'external-check command "\\$\\{PORTICO_PING\\}"',
    'external-check path "\\$\\{PORTICO_PING_PATH\\}"',
)
SERVER_OPTIONS = (
    *("backup", "disabled", "check", "send-proxy", "send-proxy-v2", "cookie NAME", "addr BARE", "track NAME/NAME"),
    *("inter TIME", "rise NUMBER", "fall NUMBER", "port NUMBER", "maxconn NUMBER"),
    *("check-ssl verify none", "check-sni TEXT"),
)
"""After ``server NAME ADDRESS:PORT weight NUMBER``."""


def _compiled(*patterns: str) -> re.Pattern[str]:
    """A pattern that any of these matches, each with its placeholders filled in."""
    text = "|".join(f"(?:{pattern})" for pattern in patterns)
    for name, part in _PARTS.items():
        text = re.sub(rf"\b{name}\b", part.replace("\\", r"\\"), text)
    return re.compile(text)


_SECTION = _compiled(*SECTIONS)
_LINE = _compiled(*LINES)
_SERVER = re.compile(
    f"{_compiled('server NAME BARE weight NUMBER').pattern}(?: (?:{_compiled(*SERVER_OPTIONS).pattern}))*"
)
_INDENT = "    "
_OPENING_OR_TABLE = re.compile(r"^(?:defaults$|frontend .*|backend .*|    stick-table .*)", re.MULTILINE)
_LONGEST_QUOTE = 80


def check_configuration(
    text: str, sockets: Collection[str], servers: Collection[str], proxies: Mapping[str, bool]
) -> None:
    """A configuration has lines of this grammar only, listens at nothing but the bundle's sockets, and has the
    frontends and backends that the bundle speaks of, no others, and stick tables where it says so.

    Args:
        text: of defaults, frontends and backends.
        sockets: names of the variables for the listening sockets.
        servers: lines that have been found right; no other line is a server's.
        proxies: lines that open a frontend or a backend (``backend NAME``): whether it has a stick table.

    Raises:
        WireError: naming the first line that is none, a socket, or a frontend or backend.
    """
    is_section_open = False
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(_INDENT) and is_section_open:
            known = line[4:] in servers or _LINE.fullmatch(line, len(_INDENT)) is not None
        else:
            known = not line or _SECTION.fullmatch(line) is not None
            if line:
                is_section_open = True
        if not known:
            raise WireError("configuration", f"of lines that agents know, which line {number} is not: {_quote(line)}")
    for name in re.findall(r'^    bind "fd@\$\{(\w+)\}"$', text, re.MULTILINE):
        if name not in sockets:
            raise WireError("configuration", f"without {name}, which is none of the sockets")
    _check_proxies(text, proxies)


def _check_proxies(text: str, proxies: Mapping[str, bool]) -> None:
    found: dict[str, bool] = {}
    section = ""
    for line in _OPENING_OR_TABLE.findall(text):
        if not line.startswith(_INDENT):
            section = line
        if section != "defaults":
            found[section] = found.get(section, False) or line != section
        elif line != section:
            raise WireError("configuration", "without a stick table in defaults")
    for line in found:
        if line not in proxies:
            raise WireError("configuration", f"without {line}, which is none that the other fields speak of")
    for line, sticks in proxies.items():
        if line not in found:
            raise WireError("configuration", f"with {line}, which the other fields speak of")
        if found[line] != sticks:
            with_or_without = "with" if sticks else "without"
            raise WireError("configuration", f"{with_or_without} a stick table in {line}, as the other fields say")


def is_server(line: str) -> bool:
    """Whether a line is a server's, with options that agents know."""
    return _SERVER.fullmatch(line) is not None


def _quote(line: str) -> str:
    return repr(line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]}...")
