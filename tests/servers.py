"""A registry's server by itself, for benchmarks and to try things by hand: python tests/servers.py neptune FOLDER

Prints, as JSON on one line, the environment variables that its clients need; ends when its standard input does.
What it holds lies in FOLDER, which is to exist. `mlflow` is a real `mlflow server`; `neptune` is the server that the
tests have, which speaks as much of the protocol as the official client needs for models; `s3` is moto's, with a bucket
`kiln`, and keeps all in memory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neptune_server import NeptuneServer
from neptune_server.samples import PROJECT, token
from registries.mlflow_server import server
from s3_server import BUCKET, S3, clients, moto


@contextmanager
def mlflow(folder: Path) -> Iterator[dict[str, str]]:
    with server(folder) as running:
        yield {"MLFLOW_TRACKING_URI": running.url}


@contextmanager
def neptune(folder: Path) -> Iterator[dict[str, str]]:
    running = NeptuneServer(folder)
    running.start()
    running.state.add_project(PROJECT, "PROJ")
    yield {
        "NEPTUNE_API_TOKEN": token(running.url),
        "NEPTUNE_PROJECT": PROJECT,
        "OAUTHLIB_INSECURE_TRANSPORT": "1",  # plain http
    }
    running.die()


@contextmanager
def s3(folder: Path) -> Iterator[dict[str, str]]:
    with moto() as url:
        S3(url).client().create_bucket(Bucket=BUCKET)
        yield clients(url)


if __name__ == "__main__":
    with {"mlflow": mlflow, "neptune": neptune, "s3": s3}[sys.argv[1]](Path(sys.argv[2]).resolve()) as environment:
        print(json.dumps(environment), flush=True)
        sys.stdin.read()
