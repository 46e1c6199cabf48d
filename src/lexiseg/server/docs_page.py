"""The page /docs: what can be asked, made from the OpenAPI schema, without a script and without the network."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
:root { color-scheme: light dark }
h2 { margin-top: 2rem; font-size: 1.1rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9rem }
pre { overflow-x: auto; padding: .5rem; border: 1px solid #8888 }
"""


def docs_page(schema: Mapping[str, Any]) -> str:
    """The page as HTML.

    Args:
        schema: the application's OpenAPI.
    """
    parts = []
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(about['description'])}</p>")
            for media, body in about.get("requestBody", {}).get("content", {}).items():
                text = json.dumps(body["schema"], indent=1, ensure_ascii=False)
                parts.append(
                    f"<details><summary>Body: <code>{escape(media)}</code></summary><pre>{escape(text)}</pre></details>"
                )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>lexiseg: what can be asked</title><style>{STYLE}</style>"
        f"<h1>lexiseg {escape(schema['info']['version'])}</h1>"
        f'<p>The same as <a href="/openapi.json">OpenAPI</a>; the <a href="/">page</a> uses nothing else. '
        f"Errors are <code>{{&quot;error&quot;: sentence}}</code>.</p>{''.join(parts)}</html>"
    )
