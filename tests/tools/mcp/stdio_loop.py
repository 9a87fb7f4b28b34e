"""What the hand-written servers over stdio share: how they greet, list and answer."""

import json
import sys

START = {
    "capabilities": {"tools": {"listChanged": True}},
    "serverInfo": {"name": "by hand", "version": "0"},
}
CHANGED = "notifications/tools/list_changed"


def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def said(text):
    """The response to a call that has this text as its result."""
    return {"result": {"content": [{"type": "text", "text": text}]}}


def serve(pages, call, start=START, silent=False):
    """Answer requests until stdin ends, as a server of 2025 does.

    `pages()` are the pages of tools and `call(name, arguments)` is a response. A silent server does
    not answer requests that it does not know.
    """

    def answer(method, params):
        if method == "initialize":
            return {"result": {"protocolVersion": "2025-06-18", **start}}
        if method == "tools/list":
            number, listed = int(params.get("cursor", 0)), pages()
            more = {"nextCursor": number + 1} if number + 1 < len(listed) else {}
            return {"result": {"tools": listed[number], **more}}
        if method == "tools/call":
            return call(params["name"], params["arguments"])
        return None if silent else {"error": {"code": -32601, "message": "unknown method"}}

    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            response = answer(request["method"], request.get("params") or {})
            if response is not None:
                send(id=request["id"], **response)
