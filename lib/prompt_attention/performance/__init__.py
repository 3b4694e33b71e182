"""Exact performance: the error of prompt and head, and what context is worth.

Results X1 to X8 and G7. Formulas import no model and no training; `fit_head` is for simulations.
"""

from prompt_attention.performance.heads import fit_head
from prompt_attention.performance.limits import (
    bayes_error,
    best_prompt_scale,
    freezing_scale,
    frozen_share,
    gradient_head_error,
    least_squares_error,
    long_context_snr,
    ridge_error,
)
from prompt_attention.performance.pipeline import learned_prompt_error
from prompt_attention.performance.pooled import (
    PooledMoments,
    finite_sample_error,
    known_prompt_error,
    pooled_moments,
)
from prompt_attention.performance.tails import gaussian_tail
from prompt_attention.performance.worth import samples_for_error

__all__ = [
    "PooledMoments",
    "bayes_error",
    "best_prompt_scale",
    "finite_sample_error",
    "fit_head",
    "freezing_scale",
    "frozen_share",
    "gaussian_tail",
    "gradient_head_error",
    "known_prompt_error",
    "learned_prompt_error",
    "least_squares_error",
    "long_context_snr",
    "pooled_moments",
    "ridge_error",
    "samples_for_error",
]
