"""A server over stdio that answers as its arguments say.

The first argument is JSON: the pages of its list of tools. The second is an object: what a call of
each tool is answered with, an object with `result` or `error`. The third is the answer to
`initialize`.
"""

import json
import sys

from stdio_loop import said, serve

pages, answers, start = map(json.loads, sys.argv[1:])


def call(name, arguments):
    return answers.get(name) or said(json.dumps(arguments))


serve(lambda: pages, call, start)
