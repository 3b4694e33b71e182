"""What each attention can and cannot represent on the discrete dataset, with sharp thresholds.

`thresholds` says at which strength of the nuisance a model fails for all of its parameters (Results
E2 to E5), `prompts` gives the parameters with which prompt-attention never does (Results E1 and
E1n), and `fitting` evaluates and trains the models on every example that the discrete dataset has
(Result E6). The question and the constructions follow Oymak et al. (2023); the sharp thresholds are
this book's own.
"""

from prompt_attention.expressivity.fitting import (
    Restarts,
    Support,
    best_of_restarts,
    discrete_error,
    restarts_on_grid,
    support_error,
    support_loss,
    support_margins,
)
from prompt_attention.expressivity.prompts import (
    SeparatingPrompt,
    long_context_mass,
    long_context_noisy_error,
    long_context_threshold,
    noisy_error,
    prompt_scale_threshold,
    separating_prompt,
)
from prompt_attention.expressivity.thresholds import (
    LeastErrors,
    attention_mass_bound,
    joint_nuisance,
    least_errors,
    linear_threshold,
    mean_pooling_threshold,
    self_attention_mass,
    self_attention_threshold,
    simple_self_attention_threshold,
)

__all__ = [
    "LeastErrors",
    "Restarts",
    "SeparatingPrompt",
    "Support",
    "attention_mass_bound",
    "best_of_restarts",
    "discrete_error",
    "joint_nuisance",
    "least_errors",
    "linear_threshold",
    "long_context_mass",
    "long_context_noisy_error",
    "long_context_threshold",
    "mean_pooling_threshold",
    "noisy_error",
    "prompt_scale_threshold",
    "restarts_on_grid",
    "self_attention_mass",
    "self_attention_threshold",
    "separating_prompt",
    "simple_self_attention_threshold",
    "support_error",
    "support_loss",
    "support_margins",
]
