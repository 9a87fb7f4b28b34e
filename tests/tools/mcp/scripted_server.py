"""A server over stdio that answers as its arguments say.

The first argument is JSON: the pages of its list of tools. The second is an object: what a call of
each tool is answered with, an object with `result` or `error`. The third is the answer to
`initialize`.
"""

import json
import sys

pages, answers, start = map(json.loads, sys.argv[1:])


def answer(method, params):
    if method == "initialize":
        return {"result": {"protocolVersion": params["protocolVersion"], **start}}
    if method == "tools/list":
        number = int(params.get("cursor", 0))
        more = {"nextCursor": number + 1} if number + 1 < len(pages) else {}
        return {"result": {"tools": pages[number], **more}}
    if method == "tools/call":
        said = {"result": {"content": [{"type": "text", "text": json.dumps(params["arguments"])}]}}
        return answers.get(params["name"], said)
    return {"error": {"code": -32601, "message": "unknown method"}}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        found = answer(request["method"], request.get("params") or {})
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **found}), flush=True)
