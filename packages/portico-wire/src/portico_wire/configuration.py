"""The grammar of a configuration: exactly the lines that an agent passes from a bundle to HAProxy.

The grammar is the last barrier between a user's input and the host. So it does not list what is dangerous. It lists
each line that the controller writes, in the one spelling in which the controller writes it. A quoted word in place of a
keyword, a comment, a macro (``.if``), a variable, a section that belongs to the agent: none of them is such a line,
whatever HAProxy would make of it.

User input is in single quotes, within which HAProxy interprets nothing, or is a word without special characters. Where
HAProxy interprets a text a second time (as a log format or a sample), the grammar takes that into account too.
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
    # One word, taken literally: quotes within it are written '\''.
    "TEXT": rf"(?:{_BARE}|'[^']*'(?:\\''[^']*')*)",
    # The same for a log format: each % is doubled.
    "FORMAT": rf"(?:{_BARE}|'(?:[^'%]|%%)*'(?:\\''(?:[^'%]|%%)*')*)",
    "CONDITION": r"if(?: !?[A-Za-z0-9_.:-]{1,255})+",
}
_ODD_NAME = r"\"(?:[^'\"\\]|'\\'')+\""
"""The name of a header or cookie in the quotes of a sample, which is within the quotes of a word."""
_FETCH = rf"(?:req\.(?:f?hdr|cook)\([A-Za-z0-9_.-]+\)|'req\.(?:f?hdr|cook)\({_ODD_NAME}\)')"
_EXTENSION = r"path,field\(-1,/\),regsub\(\^\[\^\.\]\*\$,\),(?:field\(-1,\.\)|regsub\(\^\.\*\[\.\],\.\))"
_SAMPLE = rf"(?:path|req\.fhdr\(host\)(?:,host_only)?|'{_EXTENSION}'|{_FETCH})"


def _cookie(direction: str, converters: str) -> str:
    """The pattern of a sample of the cookie that a request (``req``) contains or a response (``res``) sets."""
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
"""The options that can follow ``server NAME ADDRESS:PORT weight NUMBER``."""


def _compiled(*patterns: str) -> re.Pattern[str]:
    """A pattern that matches what any of these match, each with its placeholders filled in."""
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
    """Check that a configuration has only lines of this grammar, listens only on the bundle's sockets, and has exactly
    the frontends, backends and stick tables that the bundle names.

    Args:
        text: of defaults, frontends and backends.
        sockets: names of the variables for the listening sockets.
        servers: the lines of servers, already checked; no other line can be a server's.
        proxies: the lines that open a frontend or a backend (``backend NAME``), and whether it has a stick table.

    Raises:
        WireError: names the first unknown line, or the socket, frontend or backend that breaks the rule.
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
            raise WireError("configuration", f"made of known lines, but line {number} is not one: {_quote(line)}")
    for name in re.findall(r'^    bind "fd@\$\{(\w+)\}"$', text, re.MULTILINE):
        if name not in sockets:
            raise WireError("configuration", f"without {name}, which is not one of the sockets")
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
            raise WireError("configuration", f"without {line}, which the other fields do not name")
    for line, sticks in proxies.items():
        if line not in found:
            raise WireError("configuration", f"with {line}, which the other fields name")
        if found[line] != sticks:
            with_or_without = "with" if sticks else "without"
            raise WireError("configuration", f"{with_or_without} a stick table in {line}, to match its entry")


def is_server(line: str) -> bool:
    """Whether a line is a server's, with known options only."""
    return _SERVER.fullmatch(line) is not None


def _quote(line: str) -> str:
    return repr(line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]}...")
