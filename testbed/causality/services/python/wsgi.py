# SPDX-License-Identifier: Apache-2.0
"""A Flask application for gunicorn's gthread workers, with a requests session."""
import time
from concurrent.futures import ThreadPoolExecutor

import flask
import requests
from requests.adapters import HTTPAdapter

from plan import parse

app = flask.Flask(__name__)
session = requests.Session()
session.mount('http://', HTTPAdapter(pool_maxsize=64))
executor = ThreadPoolExecutor(32)


def do(call):
    time.sleep(call.delay)
    if call.url:
        res = session.request('POST' if call.body else 'GET', call.url, data=call.body or None, timeout=20)
        if res.status_code != 200:
            raise RuntimeError(f'{call.url}: {res.text}')


@app.route('/<path:path>', methods=['GET', 'POST'])
def handle(path):
    flask.request.get_data()
    try:
        task = parse(flask.request.path)
        for step in task.steps:
            if len(step) == 1:
                do(step[0])
            else:
                list(executor.map(do, step))
    except Exception as e:
        return f'gunicorn: {e!r}', 500
    return task.out
