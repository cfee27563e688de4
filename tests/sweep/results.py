"""Results that are made up: plausible figures, the same for the same number.

python tests/sweep/results.py FOLDER 1 8 40     (pages of so many cells, for a look at them)
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from modelkiln.sweep.cells import Cell
from modelkiln.sweep.experiments import FAILED, PASSED, REFUSED, Result
from modelkiln.sweep.leaderboard import Rule, judge
from modelkiln.sweep.page import render

BACKENDS = ["onnxruntime", "onnxruntime-int8", "openvino", "openvino-int8", "aotinductor", "generic", "neuron"]
LACKING = "compile: torch_neuron is not installed: pip install torch-neuron"
LOSING = "quality: gold key phrases: f1_loss_at_10_upper is 0.0251, has to be at most 0.02"


def make_up(number: int) -> list[Result]:
    """So many results: some lose something, a few are refused, and what is for a device has failed."""
    random_ = random.Random(number)
    results = []
    for index in range(number):
        backend = BACKENDS[index % len(BACKENDS)]
        cell = Cell(f"model-{index // 14}", ["base", "trained"][index // 7 % 2], backend)
        if backend == "neuron":
            results.append(Result(cell.name, FAILED, reason=LACKING, rerun=cell.command))
            continue
        loss = random_.uniform(0, 0.03) if "int8" in backend else 0.0
        figures = {
            "speedup": random_.uniform(1.2, 4.0),
            "p50": random_.uniform(8, 30),
            "size": random_.uniform(23, 130),
        }
        figures |= {"f1": 0.3 - loss, "f1_loss": loss, "agreement": 1.0 if loss == 0 else 0.4}
        if index % 11 == 5:
            del figures["speedup"]
        state = REFUSED if loss > 0.02 else PASSED
        results.append(Result(cell.name, state, "0" * 40, {}, figures, LOSING if state == REFUSED else ""))
    return results


if __name__ == "__main__":
    for many in map(int, sys.argv[2:]):
        page = render(judge(make_up(many), Rule(max_f1_loss=0.01, min_speedup=1.5)), "0" * 40)
        (Path(sys.argv[1]) / f"{many}.html").write_text(page)
