"""L7 policies and rules as ACLs and actions.

**Which policy wins.** The Octavia L7 guide publishes an order for amphorae: first REJECT, then redirects to URLs, then
REDIRECT_TO_POOL; among policies of the same action the lowest position wins. Tenants write their policies for that
order, so Portico keeps it. REDIRECT_PREFIX is a redirect to a URL and has the same rank. HAProxy has the same order
(``http-request`` comes before ``use_backend``), so no state is carried from one rule to the next.

**What matches.** A policy matches if all its rules match. A policy without an enabled rule matches nothing and is left
out. So is a policy whose pool is not in the tree.

- HOST_NAME: the request's host without its port, or the host as it was sent, port included; case-insensitive.
- PATH: the path without the query string, as sent (not percent-decoded).
- FILE_TYPE: EQUAL_TO ``tar.gz`` or ``.tar.gz`` matches a path that ends in ``.tar.gz``. REGEX is matched against the
  text after the last dot of the last path segment (empty if there is no dot), and against the same text with that dot.
  An expression that describes more than an extension is matched against the whole path too: one that contains a slash,
  or a literal dot and the end of the path.
- HEADER: the whole value of a header of that name, or one of the values in its comma-separated list.
- COOKIE: the value of a cookie of that name.

**What is compared.** Quotes in a value are interpreted first (``resources/l7rule_value.py``). A regular expression is
not unquoted; it is rewritten to a spelling that is safe for the engines (``resources/regular_expression_cost.py``). An
expression that breaks the rules for regular expressions, because it was accepted before these existed, is left as it
is.

A rule that looks at several values becomes an ACL of several lines, which HAProxy joins by "or"; an inverted rule
matches if none of the lines does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from portico.errors import InvalidInput, NotSupported
from portico.render.model import Argument, Directive, Keyword, Text, fetch, identifier, template
from portico.resources import L7Policy, L7Rule, Listener
from portico.resources.kinds import Tree
from portico.resources.l7policy import PolicyAction
from portico.resources.l7rule import Comparison, RuleType
from portico.resources.l7rule_value import compared
from portico.resources.regular_expression import InvalidExpression
from portico.resources.regular_expression_cost import engine_spelling

BackendName: TypeAlias = Callable[[Listener, str | None], Text | None]
"""Returns the name of the backend that serves a listener from the pool of this id; None if the pool is not rendered."""

_RANK: dict[str, int] = {
    PolicyAction.REJECT: 0,
    PolicyAction.REDIRECT_TO_URL: 1,
    PolicyAction.REDIRECT_PREFIX: 1,
    PolicyAction.REDIRECT_TO_POOL: 2,
}
_MATCH: dict[str, Keyword] = {
    Comparison.REGEX: Keyword("reg"),
    Comparison.STARTS_WITH: Keyword("beg"),
    Comparison.ENDS_WITH: Keyword("end"),
    Comparison.CONTAINS: Keyword("sub"),
    Comparison.EQUAL_TO: Keyword("str"),
}
_CODES = (301, 302, 303, 307, 308)
_DEFAULT_CODE = 302
"""Used if the user set no ``redirect_http_code``: the default in the v2 API reference."""
_PATH = Keyword("path")
_HOSTS = (Keyword("req.fhdr(host),host_only"), Keyword("req.fhdr(host)"))
_EXTENSIONS = (
    Text("type", r"path,field(-1,/),regsub(^[^.]*$,),field(-1,.)"),
    Text("type", r"path,field(-1,/),regsub(^[^.]*$,),regsub(^.*[.],.)"),
)
"""The text after the last dot of the last segment, empty if there is no dot; and the same text with that dot."""
_DESCRIBES_PATH = re.compile(r".*/.*|.*(\\\.|\[\.\]).*\$\)*")
"""Matches the regular expressions that describe more of a path than its extension."""
_IF = Keyword("if")


def policy_directives(listener: Listener, tree: Tree, backend: BackendName) -> list[Directive]:
    """The ACLs and actions of a listener's policies, in the order in which policies win.

    Raises:
        InvalidInput: an attribute breaks a rule of its spec, or the listener does not parse requests (not HTTP).
        NotSupported: a rule needs TLS termination.
    """
    policies = policies_in_force(listener, tree)
    if policies and listener.protocol != "HTTP":
        raise InvalidInput("listener_id", f"L7 policies need an HTTP listener, not {listener.protocol}")
    acls: list[Directive] = []
    actions: list[Directive] = []
    for policy in sorted(policies, key=_rank):
        rules = _rules_in_force(policy, tree)
        action = _action(policy, _condition(rules), backend(listener, policy.redirect_pool_id))
        if action is not None:
            acls.extend(directive for rule in rules for directive in _acls(rule))
            actions.append(action)
    return acls + actions


def policies_in_force(listener: Listener, tree: Tree) -> list[L7Policy]:
    """A listener's policies that can match: enabled, and with at least one enabled rule."""
    return [
        policy
        for policy in tree.policies_of.get(listener.id, ())
        if policy.admin_state_up and _rules_in_force(policy, tree)
    ]


def _rules_in_force(policy: L7Policy, tree: Tree) -> list[L7Rule]:
    return [rule for rule in tree.rules_of.get(policy.id, ()) if rule.admin_state_up]


def _rank(policy: L7Policy) -> int:
    """The sort key of a policy. ``policies_of`` is ordered by position and sorting is stable, so within a rank policies
    stay in that order."""
    rank = _RANK.get(policy.action)
    if rank is None:
        raise NotSupported("action", f"{policy.action!r} is not built yet")
    return rank


def _condition(rules: Sequence[L7Rule]) -> list[Argument]:
    """``if`` and the names of the ACLs. HAProxy joins them by "and"."""
    return [_IF, *(_negated(rule) if rule.invert else identifier("id", rule.id) for rule in rules)]


def _negated(rule: L7Rule) -> Text:
    return Text("id", "!" + identifier("id", rule.id).word)


def _action(policy: L7Policy, condition: list[Argument], pool: Text | None) -> Directive | None:
    match policy.action:
        case PolicyAction.REJECT:
            return Directive("http-request deny", *condition)
        case PolicyAction.REDIRECT_TO_URL:
            url = template("redirect_url", policy.redirect_url or "")
            return Directive("http-request redirect location", url, Keyword("code"), _code(policy), *condition)
        case PolicyAction.REDIRECT_PREFIX:
            prefix = template("redirect_prefix", policy.redirect_prefix or "")
            return Directive("http-request redirect prefix", prefix, Keyword("code"), _code(policy), *condition)
    return None if pool is None else Directive("use_backend", pool, *condition)


def _code(policy: L7Policy) -> int:
    code = policy.redirect_http_code or _DEFAULT_CODE
    if code not in _CODES:
        raise InvalidInput("redirect_http_code", f"must be one of {', '.join(map(str, _CODES))}")
    return code


def _acls(rule: L7Rule) -> Iterator[Directive]:
    """The rule's ACL, named by the rule's id. HAProxy joins several lines of the same name by "or"."""
    match = _MATCH.get(Comparison.ENDS_WITH if _is_extension(rule) else rule.compare_type)
    if match is None:
        raise NotSupported("compare_type", f"{rule.compare_type!r} is not built yet")
    # "--" ends the flags, so a value that starts with "-" is not read as a flag.
    comparison: list[Argument] = [Keyword("-m"), match, Keyword("--"), Text("value", _compared(rule))]
    if rule.type == RuleType.HOST_NAME:
        comparison.insert(0, Keyword("-i"))
    for sample in _samples(rule):
        yield Directive("acl", identifier("id", rule.id), sample, *comparison)


def _compared(rule: L7Rule) -> str:
    if rule.compare_type == Comparison.REGEX:
        try:
            return engine_spelling(rule.value)
        except InvalidExpression:  # accepted before the rule existed, and by HAProxy too
            return rule.value
    value = compared(rule.value)
    return f".{value.removeprefix('.')}" if _is_extension(rule) else value


def _is_extension(rule: L7Rule) -> bool:
    """Whether the rule compares the end of a path with an extension, dot included."""
    return rule.type == RuleType.FILE_TYPE and rule.compare_type == Comparison.EQUAL_TO


def _samples(rule: L7Rule) -> Iterator[Argument]:
    """The sample expressions that a rule's value is compared with."""
    match rule.type:
        case RuleType.HOST_NAME:
            yield from _HOSTS
        case RuleType.PATH:
            yield _PATH
        case RuleType.FILE_TYPE if rule.compare_type == Comparison.REGEX:
            yield from _EXTENSIONS
            if _DESCRIBES_PATH.fullmatch(rule.value):
                yield _PATH
        case RuleType.FILE_TYPE:
            yield _PATH
        case RuleType.HEADER:
            for function in ("req.fhdr", "req.hdr"):
                yield fetch(function, "key", rule.key or "")
        case RuleType.COOKIE:
            yield fetch("req.cook", "key", rule.key or "")
        case _:
            raise NotSupported("type", f"{rule.type} rules need TLS termination, which is not built yet")
