"""A template macro that shows tools, for chat templates that cannot.

A tool is shown as its description, then a signature line, so that the model knows the purpose of a
name when it reads it. A parameter with more than a plain type keeps its JSON schema. No name
follows a space: after a space a word has other tokens than after the quotation mark of a call, and
a small model copies tokens better than letters.
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
