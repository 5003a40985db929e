"""A chat template for tiny checkpoints: ChatML turns, JSON tool calls, thinking that can be switched off."""

from __future__ import annotations

__all__ = ["CHATML"]

CHATML = """\
{%- set has_system = messages and messages[0].role == "system" %}
{%- if tools %}
{{- "<|im_start|>system\\n" }}
{%- if has_system %}{{ messages[0].content + "\\n\\n" }}{% endif %}
{{- "These functions can be called:\\n<tools>" }}
{%- for tool in tools %}{{ "\\n" + tool | tojson }}{% endfor %}
{{- "\\n</tools>\\nTo call one, write its name and arguments as JSON:\\n" }}
{{- '<tool_call>\\n{"name": NAME, "arguments": OBJECT}\\n</tool_call><|im_end|>\\n' }}
{%- elif has_system %}
{{- "<|im_start|>system\\n" + messages[0].content + "<|im_end|>\\n" }}
{%- endif %}
{%- for message in (messages[1:] if has_system else messages) %}
{%- if message.role == "tool" %}
{%- if loop.first or loop.previtem.role != "tool" %}{{ "<|im_start|>user" }}{% endif %}
{{- "\\n<tool_response>\\n" + message.content + "\\n</tool_response>" }}
{%- if loop.last or loop.nextitem.role != "tool" %}{{ "<|im_end|>\\n" }}{% endif %}
{%- else %}
{{- "<|im_start|>" + message.role + "\\n" }}
{%- if message.reasoning_content and loop.last %}
{{- "<think>\\n" + message.reasoning_content + "\\n</think>\\n\\n" }}
{%- endif %}
{{- message.content or "" }}
{%- for call in message.tool_calls or [] %}
{%- if message.content or not loop.first %}{{ "\\n" }}{% endif %}
{{- '<tool_call>\\n{"name": ' + call.function.name | tojson }}
{{- ', "arguments": ' + call.function.arguments | tojson + "}\\n</tool_call>" }}
{%- endfor %}
{{- "<|im_end|>\\n" }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- "<|im_start|>assistant\\n" }}
{%- if enable_thinking is defined and not enable_thinking %}{{ "<think>\\n\\n</think>\\n\\n" }}{% endif %}
{%- endif %}
"""
