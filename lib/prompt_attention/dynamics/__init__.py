"""How gradient descent finds the prompt: three steps, training, population flow, late training.

`laws` and `attention` hold the formulas of the three steps (Results G1 to G4); `steps` takes them,
on tokens in full or by `conditioning` (Result S2); `scaling` measures exponents (G4), `flow`
follows the population (G5), `margin` finds the direction of late training (G6), and `trajectory`
trains any model. The question and the three-step algorithm follow Oymak et al. (2023); the formulas
are this book's own.
"""

from prompt_attention.dynamics.attention import (
    attention_mass,
    freezing_norm,
    hard_attention_mass,
    limiting_attention_mass,
    second_head_alignment,
)
from prompt_attention.dynamics.conditioning import conditioned_descent
from prompt_attention.dynamics.flow import (
    Flow,
    Saddle,
    conserved,
    flow_saddle,
    flow_velocity,
    population_flow,
    population_loss,
    turning_head,
)
from prompt_attention.dynamics.laws import (
    head_alignment,
    limiting_prompt_alignment,
    population_prompt_alignment,
    prompt_alignment,
    samples_for_alignment,
    samples_for_prompt_alignment,
)
from prompt_attention.dynamics.margin import max_margin_direction
from prompt_attention.dynamics.scaling import Crossing, Exponent, crossing, exponent
from prompt_attention.dynamics.steps import (
    Simulation,
    ThreeSteps,
    alignment,
    head_descent,
    prompt_descent,
    simulate,
    three_steps,
)
from prompt_attention.dynamics.trajectory import (
    Observation,
    Stream,
    Trajectory,
    observing,
    train,
)

__all__ = [
    "Crossing",
    "Exponent",
    "Flow",
    "Observation",
    "Saddle",
    "Simulation",
    "Stream",
    "ThreeSteps",
    "Trajectory",
    "alignment",
    "attention_mass",
    "conditioned_descent",
    "conserved",
    "crossing",
    "exponent",
    "flow_saddle",
    "flow_velocity",
    "freezing_norm",
    "hard_attention_mass",
    "head_alignment",
    "head_descent",
    "limiting_attention_mass",
    "limiting_prompt_alignment",
    "max_margin_direction",
    "observing",
    "population_flow",
    "population_loss",
    "population_prompt_alignment",
    "prompt_alignment",
    "prompt_descent",
    "samples_for_alignment",
    "samples_for_prompt_alignment",
    "second_head_alignment",
    "simulate",
    "three_steps",
    "train",
    "turning_head",
]
