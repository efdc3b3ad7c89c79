"""The answer at once and as a stream."""

import os
import sys

from openai import OpenAI

client = OpenAI(api_key=os.environ["KEY"], base_url=sys.argv[1], max_retries=0)
ask = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
print("whole:", client.chat.completions.create(**ask).choices[0].message.content)
parts = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**ask, stream=True)]
print("stream:", "".join(parts))
