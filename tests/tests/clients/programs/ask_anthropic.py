"""The answer at once and as a stream."""

import os
import sys

from anthropic import Anthropic

client = Anthropic(api_key=os.environ["KEY"], base_url=sys.argv[1], max_retries=0)
ask = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
print("whole:", client.messages.create(**ask).content[0].text)
with client.messages.stream(**ask) as stream:
    print("stream:", "".join(stream.text_stream))
