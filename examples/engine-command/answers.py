#!/usr/bin/env python3
"""A program in the place of a model: adds, and with `--hasty` gets some sums wrong."""

import json
import re
import sys

asked = json.load(sys.stdin)
prompt = asked["text"] or asked["messages"][-1]["content"]
numbers = [int(digits) for digits in re.findall(r"\d+", prompt)[:2]]
total = sum(numbers)
if "--hasty" in sys.argv and numbers and numbers[0] % 4 == 3:
    total += 1
letters = {text: letter for letter, text in re.findall(r"^([A-D])[.)] (\d+)$", prompt, re.M)}
output = letters.get(str(total), f" It is {total}, I think, or something near to it.")
for stop in asked["stop"]:
    output = output.partition(stop)[0]
words = re.findall(r"\s*\S+", output)
kept = words[: asked["max_tokens"]]
said = {
    "output": "".join(kept),
    "finish_reason": "stop" if kept == words else "length",
    "prompt_tokens": len(prompt.split()),
    "completion_tokens": len(kept),
}
json.dump(said, sys.stdout)
