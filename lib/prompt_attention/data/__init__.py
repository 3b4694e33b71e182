"""The contextual data model: tokens with the context and the label, among tokens that distract.

With label y = +1 or -1, relevant set R, context q*, regressor w* and nuisance (dq, dw),

    x_t = q* + y w*                      for t in R,
    x_t = -dq q* - dw y w* + z_t         for t not in R,

following Oymak et al. (2023).
"""

from prompt_attention.data.batch import Batch, Estimate
from prompt_attention.data.contextual import ContextualModel, core_model
from prompt_attention.data.noise import shared_noise, student_t8

__all__ = [
    "Batch",
    "ContextualModel",
    "Estimate",
    "core_model",
    "shared_noise",
    "student_t8",
]
