"""Problems and states of the page of `gemmconv explain`, drawn at random for its tests."""

from __future__ import annotations

import numpy as np


def numbers_of(random, count):
    """Return numbers of all kinds, or 1, 2, 3, ...; those that JSON does not have are strings."""
    if random.random() < 0.4:
        return list(range(1, count + 1))
    special = ["inf", "-inf", "nan", "-0", 1e-300, 5e-324, -1.7976931348623157e308, 0.1, 1e21, 123456789.125]
    return [random.choice(special) if random.random() < 0.3 else random.randint(-9, 9) for _ in range(count)]


def random_problem(random, plain=False):
    """Return a problem that makes sense; a plain one has integers only."""
    rank, transposed = random.randint(1, 3), random.random() < 0.25
    groups = random.choice([1, 1, 2, 3])
    heads = (groups * random.randint(1, 2), groups * random.randint(1, 2))
    channels, kernels = heads
    kernel = [random.randint(1, 3) for _ in range(rank)]
    stride, dilation = ([random.randint(1, 2) for _ in range(rank)] for _ in range(2))
    size = [(k - 1) * d + 1 + random.randint(2, 4) for k, d in zip(kernel, dilation)]
    names = ["valid", "same", "same_lower"] + ["full"] * (not transposed) + ["causal"] * (not transposed and rank == 1)
    most = 1 if transposed else 2
    padding = [[random.randint(-1, most), random.randint(-1, most)] for _ in range(rank)]
    if random.random() < 0.3:
        padding = [[n, n] for n in (random.randint(0, most) for _ in range(rank))]
    padding = random.choice(names) if random.random() < 0.3 else padding
    modes = [random.choice(["zeros", "zeros", "reflect", "edge", "wrap", "symmetric"]) for _ in range(rank)]
    modes = ["zeros"] * rank if transposed else modes if random.random() < 0.5 else modes[:1] * rank
    more = [random.randint(0, max(s, d) - 1) if not isinstance(padding, str) else 0 for s, d in zip(stride, dilation)]

    def numbers(count):
        return [random.randint(-9, 9) for _ in range(count)] if plain else numbers_of(random, count)

    def array(*shape):
        return {"shape": list(shape), "data": numbers(int(np.prod(shape)))}

    weight = (channels, kernels // groups) if transposed else (kernels, channels // groups)
    value = (
        0
        if transposed or "zeros" not in modes
        else random.choice([0, 0, 5, -2] if plain else [0, 0, "nan", "-inf", 0.25])
    )
    return {
        "x": array(channels, *size),
        "weight": array(*weight, *kernel),
        "bias": numbers(kernels) if random.random() < 0.4 else None,
        "grad": None,
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "padding": padding,
        "modes": modes,
        "value": value,
        "flip": not transposed and random.random() < 0.3,
        "transposed": transposed,
        "outputPadding": more if transposed else [0] * rank,
    }


def random_state(random):
    """Return a state; its selection is in x or weight, or the first output."""
    problem = random_problem(random)
    kind = random.choice(["output", "input", "weight", "connection"])
    last = {"input": "x", "weight": "weight"}.get(kind)
    selection = {"kind": kind, "at": random.randrange(len(problem[last]["data"])) if last else 0}
    if kind == "connection":
        selection["other"] = random.randrange(len(problem["weight"]["data"]))
    flags = {name: random.random() < 0.5 for name in ("pinned", "backward", "letters")}
    name = random.choice(["", "channels", "3d"])
    return {"problem": problem, "name": name, "selection": random.choice([selection, None]), **flags}
