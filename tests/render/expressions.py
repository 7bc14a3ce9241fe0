"""Regular expressions from the grammar that L7 rules accept, and the texts that are hardest for engines."""

from __future__ import annotations

import random
import re
import string

from hypothesis import strategies as st

from portico.resources.regular_expression import InvalidExpression
from portico.resources.regular_expression_cost import engine_spelling

_ATOMS = ["a", "b", "c", "x", "/", r"\.", "[ab]", "[^/]", "[a-c/]", r"\d", r"\w", "[[:alpha:]]", ".", "[^a]", r"\x61"]
_REPETITIONS = ["", "", "", "*", "+", "?", "*?", "+?", "{2}", "{0,3}", "{1,20}", "{2,}"]


def expressions() -> st.SearchStrategy[str]:
    """Expressions that rules accept."""
    return _branches().map("".join).filter(is_accepted)


def is_accepted(text: str) -> bool:
    """Whether a rule accepts the expression."""
    try:
        engine_spelling(text)
    except InvalidExpression:
        return False
    return 0 < len(text) <= 255


def _branches() -> st.SearchStrategy[list[str]]:
    item = st.recursive(
        st.builds(str.__add__, st.sampled_from(_ATOMS), st.sampled_from(_REPETITIONS)),
        lambda inner: st.builds(
            "{}{}){}".format,
            st.sampled_from(["(", "(?:", "(?i:", "(?=", "(?!"]),
            st.lists(inner, min_size=1, max_size=3).flatmap(
                lambda parts: st.sampled_from(["".join(parts), "|".join(parts)])
            ),
            st.sampled_from(_REPETITIONS),
        ),
        max_leaves=6,
    )
    branch = st.builds(
        "{}{}{}".format,
        st.sampled_from(["^", "^/", "", "", r"\b", "(?i)"]),
        st.lists(item, min_size=1, max_size=5).map("".join),
        st.sampled_from(["", "$", ".*", "$"]),
    )
    return st.lists(branch, min_size=1, max_size=2).map(lambda found: ["|".join(found)])


def texts(expression: str, seed: int, length: int) -> list[str]:
    """Paths of up to ``length`` bytes from the characters of an expression: short ones, and repetitive ones with a
    different beginning and end."""
    random_ = random.Random(seed)
    letters = sorted(set(re.sub(r"[^a-z/.]", "", expression)) | set("ab1"))
    words = ["".join(random_.choices(letters, k=random_.randint(1, 4))) for _ in range(4)]
    short = ["/" + "".join(random_.choices(letters, k=random_.randint(0, 12))) for _ in range(5)]
    long_ = [f"/{words[0]}{(word * length)[: length - 40]}{words[1]}" for word in (*words[1:], *letters[:1])]
    return [text for text in (*short, *long_) if set(text) <= set(string.ascii_letters + string.digits + "/.")]
