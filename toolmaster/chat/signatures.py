"""How our own text shows tools, for templates that have no place for them.

A tool is its description, then a signature line: a model reads from left to right, and a name that
stands before its description is read without knowing what it is for. A parameter that is more than
a plain type keeps its JSON schema. No name follows a space: after a space a word has other tokens
than after the quotation mark of a call, and a small model copies tokens better than it spells.
"""

SIGNATURE_MACRO = """\
{%- macro signature(tool) -%}
{%- set f = tool.function if tool.function is defined else tool -%}
{%- set params = f.parameters or {} -%}
{%- if f.description %}# {{ f.description | replace('\\n', '\\n# ') + '\\n' }}{% endif -%}
{{- f.name }}(
{%- for key, schema in (params.properties or {}).items() -%}
{{- key }}{{ '' if key in (params.required or []) else '?' }}:{{ schema.type if schema is mapping and (schema.keys() | list) == ['type'] else schema | tojson }}
{%- if not loop.last %},{% endif -%}
{%- endfor -%})
{%- endmacro -%}
{%- macro signatures(tools) -%}
{%- for tool in tools %}{{ signature(tool) + '\\n' }}{% endfor -%}
{%- endmacro -%}
"""  # noqa: E501 - a template cannot break its lines
