"""A server without the SDK, as old and as careless as some are: it speaks 2025-06-18 over stdio.

It prints a banner where messages go, lists its tools in pages and one of them twice, gives schemas
that cannot be used or checked, and results that break its own, and forgets a tool without a word.
With the argument `silent` it does not answer requests that it does not know.
"""

import json
import os
import sys

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


def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def call(id_, name):
    known = [tool["name"] for page in PAGES for tool in page]
    if name not in known:
        send(id=id_, error={"code": -32000, "message": f"no {name} for {os.environ['A_KEY']}"})
        return
    result = {"content": [{"type": "text", "text": name}]}
    if name == "forget":
        PAGES[0] = [tool for tool in PAGES[0] if tool["name"] != "grow"]
    elif name == "grow":
        PAGES[0][0] = {**PAGES[0][0], "inputSchema": NUMBER}
        send(method="notifications/tools/list_changed")
    elif name == "broken_result":
        result["structuredContent"] = {"n": "many"}
    elif name == "endless":
        result["structuredContent"] = {"x": "a"}
    elif name == "no_result":
        result = {"content": "hush-hush, no list"}
    send(id=id_, result=result)


def answer(id_, method, params):
    if method == "initialize":
        capabilities = {"tools": {"listChanged": True}}
        info = {"name": "raw", "version": "0"}
        version = "2025-06-18"
        send(
            id=id_,
            result={"protocolVersion": version, "capabilities": capabilities, "serverInfo": info},
        )
    elif method == "tools/list":
        page = int((params or {}).get("cursor", 0))
        more = {"nextCursor": str(page + 1)} if page + 1 < len(PAGES) else {}
        send(id=id_, result={"tools": PAGES[page], **more})
    elif method == "tools/call":
        call(id_, params["name"])
    elif "silent" not in sys.argv:
        send(id=id_, error={"code": -32601, "message": "unknown method"})


print("Welcome!", os.environ["A_KEY"], flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        answer(request["id"], request["method"], request.get("params"))
