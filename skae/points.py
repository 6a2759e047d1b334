"""A fixed low-discrepancy set of standard normal points."""

import functools


@functools.lru_cache(maxsize=8)
def normal_points(n_points, dim):
    """Return a fixed low-discrepancy set of standard normal points, (n_points, dim).

    They are normal quantiles of scrambled Sobol points, each with its negative.
    """
    import torch

    if dim == 0:
        return torch.zeros(n_points, 0, dtype=torch.float64)
    engine = torch.quasirandom.SobolEngine(dim, scramble=True, seed=0)
    first = engine.quasi.float() / 2**engine.MAXBIT  # torch rounds this one to its default dtype
    uniform = engine.draw(n_points // 2, dtype=torch.float32)
    uniform[0] = first
    points = torch.special.ndtri(uniform.double().clamp(1e-7, 1.0 - 1e-7))
    return torch.cat([points, -points])
