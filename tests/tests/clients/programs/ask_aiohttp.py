"""A session that reads the environment's proxy."""

import asyncio
import os
import sys

import aiohttp


async def main():
    headers = {"Authorization": "Bearer " + os.environ["KEY"]}
    async with aiohttp.ClientSession(trust_env=True, headers=headers) as session:
        async with session.get(sys.argv[1]) as answer:
            print(answer.status, await answer.text())


asyncio.run(main())
