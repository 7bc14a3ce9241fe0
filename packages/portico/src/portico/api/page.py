"""The documentation page: it renders the OpenAPI document in the browser and loads nothing from other sites."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import APIRouter
from starlette.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Portico API</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1d2430 }
summary { cursor: pointer; padding: .25rem 0 } pre { background: #f3f5f8; overflow: auto; padding: .75rem }
code { font-family: ui-monospace, monospace } .method { display: inline-block; font-weight: 600; width: 4.5rem }
.gist { color: #5b6678; margin-left: 1rem }
</style>
<h1 id="title">Portico API</h1>
<p>The machine-readable document is <a href="openapi.json">openapi.json</a>.</p>
<main id="routes">Loading&hellip;</main>
<script>
const add = (parent, tag, text, name) => {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  if (name) node.className = name;
  parent.append(node);
  return node;
};
fetch("openapi.json").then(answer => answer.json()).then(api => {
  const routes = document.getElementById("routes");
  routes.replaceChildren();
  document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, route] of Object.entries(methods)) {
      const group = (route.tags || ["other"])[0];
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push([method, path, route]);
    }
  for (const [group, found] of groups) {
    add(routes, "h2", group);
    for (const [method, path, route] of found) {
      const details = add(routes, "details");
      const summary = add(details, "summary");
      add(summary, "code", method.toUpperCase(), "method");
      add(summary, "code", path);
      add(summary, "span", route.summary || "", "gist");
      add(details, "p", route.description || "");
      const parameters = (route.parameters || []).map(one => `${one.name} (${one.in}): ${one.description || ""}`);
      if (parameters.length) add(details, "pre", parameters.join("\\n"));
      if (route.requestBody) add(details, "pre", JSON.stringify(route.requestBody.content, null, 2));
      for (const [status, answer] of Object.entries(route.responses))
        add(details, "div", `${status}: ${answer.description}`);
    }
  }
});
</script>
</html>
"""


def _hashes(tag: str) -> str:
    """The hashes of the page's inline content in these tags, as a content security policy lists them."""
    texts = re.findall(f"<{tag}>(.*?)</{tag}>", _PAGE, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts)


_HEADERS = {
    # Text from the document cannot run as a script, and no other page can embed this one to capture clicks.
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@router.get("/docs")
async def show_page() -> HTMLResponse:
    """Show the documentation page."""
    return HTMLResponse(_PAGE, headers=_HEADERS)
