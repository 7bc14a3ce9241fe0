"""The documentation page: what a browser lets it do."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

import pytest

from tests.api.service import Service


@pytest.mark.database("sqlite")
def test_the_page_runs_its_own_script_and_nothing_else(service: Service) -> None:
    """The page's content security policy allows the one script and the one style by their hashes, and fetches from its
    own origin only. No other page may frame it, and it sends no referrer."""
    answer = service.request("GET", "/docs", headers={"accept": "text/html"})
    assert answer.status_code == 200
    policy = dict(directive.strip().split(" ", 1) for directive in answer.headers["content-security-policy"].split(";"))
    hashes = {}
    for tag in ("script", "style"):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        hashes[f"{tag}-src"] = f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
    nothing = dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    assert policy == nothing | hashes | {"connect-src": "'self'"}
    assert {
        name: answer.headers[name] for name in ("x-frame-options", "x-content-type-options", "referrer-policy")
    } == {
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    # Inline attributes, which such a policy would disable.
    assert not re.search(r"<[^>]+\s(on\w+|style|src|href=.javascript)\s*=", answer.text)
