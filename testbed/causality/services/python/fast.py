# SPDX-License-Identifier: Apache-2.0
"""FastAPI under uvicorn, with its usual uvloop and httptools, and httpx."""
import asyncio
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

from plan import PORT, parse


@asynccontextmanager
async def lifespan(app):
    async with httpx.AsyncClient(timeout=20) as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


async def do(call):
    if call.delay:
        await asyncio.sleep(call.delay)
    if call.url:
        res = await app.state.client.request('POST' if call.body else 'GET', call.url, content=call.body or None)
        if res.status_code != 200:
            raise RuntimeError(f'{call.url}: {res.text}')


@app.api_route('/{path:path}', methods=['GET', 'POST'])
async def handle(request: Request):
    await request.body()
    try:
        task = parse(request.url.path)
        for step in task.steps:
            await asyncio.gather(*map(do, step))
    except Exception as e:
        return Response(f'fastapi: {e!r}', 500)
    return Response(task.out)


uvicorn.run(app, host='127.0.0.1', port=PORT, backlog=256, timeout_keep_alive=600, timeout_graceful_shutdown=0,
            access_log=False, log_level='warning')
