"""Chat templates as models bring them along, cut to what matters here: the day, and a thought."""

from __future__ import annotations

# Llama 3.1: the day is its own default unless somebody hands it another, as llama.cpp does
LLAMA_31 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
# Llama 3.2 and 3.3: today, where there is a function that tells it
LLAMA_32 = LLAMA_31.replace(
    '    {%- set date_string = "26 Jul 2024" %}\n',
    """    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
""",
)
# Granite 3: today, unless the conversation has a system message of its own
GRANITE = """{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = "Knowledge Cutoff Date: April 2024.
Today's Date: " + strftime_now('%B %d, %Y') + ".
You are Granite, developed by IBM." %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\\n' }}
{%- for message in loop_messages %}
    {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' }}
    {{- message['content'] + '<|end_of_text|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_of_role|>assistant<|end_of_role|>' }}
{%- endif %}
"""
# SmolLM3: the same under another name, with a weekday
SMOLLM_3 = """{%- set today = strftime_now("%A, %d %B %Y") -%}
{{- "<|im_start|>system\\nToday Date: " ~ today ~ "<|im_end|>\\n" -}}
{%- for message in messages -%}
    {{- "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|im_start|>assistant\\n" -}}{%- endif -%}
"""
# LFM2: only beside a list of tools
LFM_2 = """{%- if tools -%}
    {{- "Today's date: " + strftime_now("%Y-%m-%d") + (tools | tojson) -}}
{%- endif -%}
{%- for message in messages -%}
    {{- "<|im_start|>" + message["role"] + "\\n" + message["content"] + "<|im_end|>\\n" -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|im_start|>assistant\\n" -}}{%- endif -%}
"""
# a fixed day, as a mended copy of Llama's template has it
FIXED = (
    LLAMA_31.replace('"26 Jul 2024"', '"17 Dec 2024"')
    .replace("{%- if not date_string is defined %}\n    ", "")
    .replace('{%- endif %}\n{{- "<|start', '{{- "<|start', 1)
)
# DeepSeek-R1: the answer begins inside a thought
DEEPSEEK_R1 = """{%- for message in messages %}
    {{- '<|User|>' + message['content'] }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|Assistant|><think>\\n' }}{%- endif %}
"""
# Qwen3, told not to think: the thought is opened and closed
QWEN_3 = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
# one that refuses some messages, as those do that want user and assistant in turns
REFUSES = """{%- if messages | length > 2 %}
    {{- raise_exception('Conversation roles must alternate') }}
{%- endif %}
{%- for message in messages %}
    {{- message['role'] + ': ' + message['content'] + '\\n' }}
{%- endfor %}
"""
# Ollama's, in Go's language: gpt-oss writes today, Llama 3.2 does not
OLLAMA_GPT_OSS = """<|start|>system<|message|>You are ChatGPT.
Knowledge cutoff: 2024-06
Current date: {{ currentDate }}
<|end|>{{- range .Messages }}<|start|>{{ .Role }}<|message|>{{ .Content }}<|end|>{{ end }}"""
OLLAMA_LLAMA_32 = """<|start_header_id|>system<|end_header_id|>

Cutting Knowledge Date: December 2023

{{ if .System }}{{ .System }}{{- end }}<|eot_id|>
{{- range $i, $_ := .Messages }}{{ .Content }}<|eot_id|>{{ end }}"""
