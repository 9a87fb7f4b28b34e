"""A server without the SDK, as old and as careless as some are: it speaks 2025-06-18 over stdio.

It prints a banner where messages go, lists its tools in pages and one of them twice, gives schemas
that cannot be used or checked, and results that break its own, and forgets a tool without a word.
With the argument `silent` it does not answer requests that it does not know.
"""

import os
import sys

from stdio_loop import CHANGED, said, send, serve

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ANY = {"type": "object"}
DOUBLED = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
ENDLESS = {
    "type": "object",
    "properties": {"x": {"$ref": "#/$defs/d0"}},
    "$defs": {**DOUBLED, "d40": {"type": "string"}},
}
PAGES = [
    [
        {"name": "forget", "inputSchema": ANY, "annotations": {"title": "Forget"}},
        {"name": "grow", "inputSchema": ANY},
        {"name": "forget", "inputSchema": NUMBER},
    ],
    [
        {"name": "broken_schema", "inputSchema": {**ANY, "properties": {"a": {"type": "text"}}}},
        {"name": "broken_result", "inputSchema": ANY, "outputSchema": NUMBER},
        {"name": "endless", "inputSchema": ENDLESS, "outputSchema": ENDLESS},
        {"name": "no_result", "inputSchema": ANY, "description": "about " + os.environ["A_KEY"]},
    ],
]


def call(name, _arguments):
    known = [tool["name"] for page in PAGES for tool in page]
    if name not in known:
        return {"error": {"code": -32000, "message": f"no {name} for {os.environ['A_KEY']}"}}
    response = said(name)
    if name == "forget":
        PAGES[0] = [tool for tool in PAGES[0] if tool["name"] != "grow"]
    elif name == "grow":
        PAGES[0][0] = {**PAGES[0][0], "inputSchema": NUMBER}
        send(method=CHANGED)
    elif name == "broken_result":
        response["result"]["structuredContent"] = {"n": "many"}
    elif name == "endless":
        response["result"]["structuredContent"] = {"x": "a"}
    elif name == "no_result":
        response = {"result": {"content": "hush-hush, no list"}}
    return response


print("Welcome!", os.environ["A_KEY"], flush=True)
serve(lambda: PAGES, call, silent="silent" in sys.argv)
