"""A template macro that shows tools, for chat templates that cannot.

A tool is shown as its description, then a signature line, so that the model knows what a name is
for when it reads it:

    # Book a room. Example: {"guest": "Ada Holm", "nights": 2} -> "B-12"
    book(guest:string "Who stays",nights:integer,kind?:"single"|"double"="single",tags?:string[])

A parameter has a type, choices, a default and a description, as far as its JSON schema has them; a
schema with anything else is shown whole. No name follows a space: after a space a word has other
tokens than after the quotation mark of a call, and a small model copies tokens better than it
spells.
"""

SIGNATURE_MACRO = """\
{%- macro params(s) -%}
{%- for key, one in (s.properties or {}).items() -%}
{{- key }}{{ '' if key in (s.required or []) else '?' }}:{{ kind(one) }}
{%- if not loop.last %},{% endif -%}
{%- endfor -%}
{%- endmacro -%}
{%- macro kind(s) -%}
{%- set plain = ['type', 'enum', 'items', 'format', 'default', 'description'] -%}
{%- set nested = plain + ['properties', 'required', 'additionalProperties'] -%}
{%- if s is not mapping or s.type is not string or s.keys() | reject('in', nested) | list -%}
{{- s | tojson }}
{%- else -%}
{%- if s.enum -%}{% for one in s.enum %}{{ one | tojson }}{{ '' if loop.last else '|' }}{% endfor %}
{%- elif s.type == 'array' and s['items'] is mapping -%}{{ kind(s['items']) }}[]
{%- elif s.type == 'object' and s.properties -%}{ {{- params(s) -}} }
{%- else -%}{{ s.type }}{% if s.format %}/{{ s.format }}{% endif %}
{%- endif -%}
{%- if s.default is defined %}={{ s.default | tojson }}{% endif -%}
{%- if s.description %} {{ s.description | tojson }}{% endif -%}
{%- endif -%}
{%- endmacro -%}
{%- macro signature(tool) -%}
{%- set f = tool.function if tool.function is defined else tool -%}
{%- if f.description %}# {{ f.description | replace('\\n', '\\n# ') + '\\n' }}{% endif -%}
{{- f.name }}({{ params(f.parameters or {}) }})
{%- endmacro -%}
{%- macro signatures(tools) -%}
{%- for tool in tools %}{{ signature(tool) + '\\n' }}{% endfor -%}
{%- endmacro -%}
"""
