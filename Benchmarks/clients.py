#!/usr/bin/env python3
"""Eight clients with one item each beside one client with eight: what is lost by asking apart.

    .venv-reference/bin/python Benchmarks/clients.py [--bin PATH] [--rounds N] [--seconds S]
        [--model FOLDER] [--precision P] [--threads N] [--works image gradient prompt condition]

ViT-B/32 with random weights (bench/vit-b-32, made on the first run). Each client is a bare DEALER that asks again as
soon as it is answered, from one process. The two ways take turns for SECONDS each; the figure is the median over the
rounds of the ratio of items a second, and the quartiles. A lone client with one item is measured beside them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Clients/python/src"))

from suite.models import LOGS, MODELS, ROOT  # noqa: E402
from suite.served import Served  # noqa: E402

WORDS = ["cat", "dog", "house", "tree", "boat", "lamp", "chair", "bird", "cloud", "road", "fish"]
numbers = itertools.count()


class Work:
    """Requests of one kind for some items; no two prompts are the same, so that no cache answers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._random = np.random.default_rng(3)
        self._images = self._random.random((8, 3, 224, 224), dtype=np.float32)

    def frames(self, items: int, place: int) -> list[bytes]:
        """The message of a request; `place` says which of the eight images are meant."""
        number = next(numbers)
        header: dict[str, object] = {"id": f"r{number}"}
        prompts = [
            f"a {WORDS[(number + i) % 11]} and a {WORDS[(number // 11 + i) % 11]} {number % 97}"
            for i in range(items)
        ]
        if self.name == "prompt":
            header |= {"op": "embed_text", "params": {"texts": prompts}}
        elif self.name == "condition":
            header |= {"op": "condition", "params": {"prompts": prompts, "recipe": "sd1",
                                                      "accounting": False}}
        else:
            op, params = {
                "image": ("embed_image", {}),
                "gradient": ("gradient", {"prompts": ["a red circle"]}),
            }[self.name]
            header |= {"op": op, "params": params, "inputs": [
                {"name": "images", "datatype": "FP32", "shape": [items, 3, 224, 224]}]}
            images = self._images[place : place + items]
            return [b"GD01", json.dumps(header).encode(), images.tobytes()]
        return [b"GD01", json.dumps(header).encode()]


class Clients:
    """Some clients, each with one request of so many items on its way."""

    def __init__(self, endpoint: str, work: Work, count: int, items: int) -> None:
        self._context = zmq.Context()
        self._work = work
        self._items = items
        self._poller = zmq.Poller()
        self._places: dict[zmq.Socket[bytes], int] = {}
        for index in range(count):
            socket = self._context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(endpoint)
            self._poller.register(socket, zmq.POLLIN)
            self._places[socket] = index * items % 8

    def run(self, seconds: float) -> float:
        """Items a second; every request that was begun is waited for."""
        open_requests = 0
        done = 0
        begin = time.perf_counter()
        for socket, place in self._places.items():
            socket.send_multipart(self._work.frames(self._items, place), copy=False)
            open_requests += 1
        last = begin
        while open_requests:
            for socket, _ in self._poller.poll():
                while True:
                    try:
                        reply = socket.recv_multipart(zmq.NOBLOCK, copy=False)
                    except zmq.Again:
                        break
                    header = json.loads(reply[1].bytes)
                    if header["status"] != "ok" or header.get("items"):
                        raise SystemExit(f"{self._work.name}: {header}")
                    last = time.perf_counter()
                    done += self._items
                    open_requests -= 1
                    if last - begin < seconds:
                        frames = self._work.frames(self._items, self._places[socket])
                        socket.send_multipart(frames, copy=False)
                        open_requests += 1
        return done / (last - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=ROOT / ".build/release/guidanced")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--extra", nargs="*", default=[], help="further flags of serve")
    parser.add_argument("--works", nargs="+",
                        default=["image", "gradient", "prompt", "condition"])
    options = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    model = options.model
    if model is None:
        MODELS["vit-b-32"].make()
        model = MODELS["vit-b-32"].folder
    arguments = ["--model", f"default={model}", "--precision", options.precision]
    if options.threads:
        arguments += ["--threads", str(options.threads)]
    arguments += ["--" + flag for flag in options.extra]
    with Served(options.bin.resolve(), "clients", *arguments) as daemon:
        for name in options.works:
            work = Work(name)
            ways = {"8 × 1": (8, 1), "1 × 8": (1, 8), "1 × 1": (1, 1)}
            clients = {
                way: Clients(daemon.endpoint, work, *shape) for way, shape in ways.items()
            }
            for way in clients.values():
                way.run(options.seconds / 2)
            found: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(options.rounds):
                order = list(ways) if number % 2 else list(reversed(ways))
                for way in order:
                    found[way].append(clients[way].run(options.seconds))
            ratios = [a / b for a, b in zip(found["8 × 1"], found["1 × 8"])]
            low, _, high = quantiles(ratios, n=4)
            rates = ", ".join(f"{way}: {median(rates):.1f}/s" for way, rates in found.items())
            print(f"{name}: 8 × 1 is {100 * median(ratios):.0f} % of 1 × 8 "
                  f"({100 * low:.0f}–{100 * high:.0f}); {rates}", flush=True)


if __name__ == "__main__":
    main()
