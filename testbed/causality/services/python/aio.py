# SPDX-License-Identifier: Apache-2.0
"""aiohttp's server and client in one event loop; calls at the same time are
tasks that asyncio.gather makes."""
import asyncio

import aiohttp
from aiohttp import web

from plan import PORT, parse


async def do(session, call):
    if call.delay:
        await asyncio.sleep(call.delay)
    if call.url:
        async with session.request('POST' if call.body else 'GET', call.url, data=call.body or None) as res:
            text = await res.text()
            if res.status != 200:
                raise RuntimeError(f'{call.url}: {text}')


async def handle(request):
    await request.read()
    try:
        task = parse(request.raw_path)
        for step in task.steps:
            if len(step) == 1:
                await do(request.app['session'], step[0])
            else:
                await asyncio.gather(*(do(request.app['session'], call) for call in step))
    except Exception as e:
        return web.Response(status=500, text=f'aiohttp: {e!r}')
    return web.Response(body=task.out)


async def session(app):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as app['session']:
        yield


app = web.Application(client_max_size=10 << 20)
app.cleanup_ctx.append(session)
app.router.add_route('*', '/{path:.*}', handle)
web.run_app(app, host='127.0.0.1', port=PORT, backlog=256, keepalive_timeout=600, shutdown_timeout=0.1, access_log=None)
