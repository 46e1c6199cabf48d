"""The page /docs: what can be asked, made from the OpenAPI schema, without a script and without the network."""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9rem }
pre { overflow-x: auto; padding: .5rem; border: 1px solid #8888 }
"""
START = """curl -F picture=@photo.jpg ADDRESS/v1/encode
curl -H 'Content-Type: application/json' -d '{"handle": "...", "vocabulary": "cat|kitten, sky:stuff"}' \\
    ADDRESS/v1/segment
curl -F picture=@photo.jpg -F 'request={"vocabulary": "coco"}' -H 'Accept: image/png' -o ids.png \\
    ADDRESS/v1/segment"""
"""How it is asked from a terminal; ADDRESS is the server's."""


def docs_page(schema: Mapping[str, Any], address: str) -> str:
    """The page as HTML.

    Args:
        schema: the application's OpenAPI.
        address: where the server is reached.
    """
    start = escape(START.replace("ADDRESS", address))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>lexiseg: what can be asked</title><style>{STYLE}</style>"
        f"<h1>lexiseg {escape(schema['info']['version'])}</h1><pre>{start}</pre>"
        '<p>The same as <a href="/openapi.json">OpenAPI</a>; the <a href="/">page</a> uses nothing else. Errors are '
        f"<code>{{&quot;error&quot;: sentence}}</code>.</p>{''.join(_routes(schema))}</html>"
    )


def _routes(schema: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            for paragraph in about["description"].split("\n\n"):
                text = re.sub("`([^`]+)`", r"<code>\1</code>", escape(paragraph))
                yield f"<p>{text}</p>"
            for media, body in about.get("requestBody", {}).get("content", {}).items():
                text = escape(json.dumps(body["schema"], indent=1))
                yield f"<details><summary>Body: <code>{escape(media)}</code></summary><pre>{text}</pre></details>"
