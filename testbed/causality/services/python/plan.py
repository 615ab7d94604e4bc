# SPDX-License-Identifier: Apache-2.0
"""What the path of a request asks a service to do (see ../../doc.go)."""
import os
from typing import NamedTuple

PEERS = dict(peer.split('=') for peer in os.environ['PEERS'].split())
PORT = int(os.environ['PORT'])


class Call(NamedTuple):
    delay: float  # seconds to wait before it
    url: str  # none if it is a wait only
    body: bytes  # POST if there is one, else GET


class Task(NamedTuple):
    steps: list  # of lists of calls, which are made at the same time
    out: bytes  # the response's body


def parse(path):
    _, scenario, id, node, sizes, plan = path.split('/')
    size_in, size_out = map(int, sizes.split('-'))
    mine = [entry[len(node) + 1:] for entry in plan.split('~') if entry.startswith(node + '=')]
    steps, child = [], 0
    for step in mine[0].split(',') if mine else []:
        calls = []
        for call in step.split('+'):
            name, _, delay = call.partition('*')
            url = ''
            if name:
                url = f'http://{PEERS[name]}/{scenario}/{id}/{node}.{child}/{sizes}/{plan}'
                child += 1
            calls.append(Call(int(delay or 0) / 1000, url, b'x' * size_in))
        steps.append(calls)
    return Task(steps, b'x' * size_out)
