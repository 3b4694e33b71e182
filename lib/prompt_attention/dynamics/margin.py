"""Where the prompt's direction goes late in training: result G6."""

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from prompt_attention.data import Batch


def max_margin_direction(batch: Batch) -> Float[np.ndarray, " d"]:
    """The unit vector along argmin ||q|| subject to <q, x_s - x_t> >= 1.

    For each example, s runs over the relevant and t over the irrelevant tokens: the hard-margin
    support vector machine that puts every relevant token above the irrelevant tokens of its own
    example. It is solved without an offset, as that of the differences and of their negatives.
    (Result G6)

    Raises:
        ValueError: no prompt separates the tokens.
    """
    from sklearn.svm import SVC  # takes a second to import

    tokens, relevant = np.float64(batch.tokens), np.asarray(batch.relevant)
    differences = np.concatenate(
        [
            (X[r][:, None] - X[~r]).reshape(-1, X.shape[1])
            for X, r in zip(tokens, relevant, strict=True)
        ]
    )
    differences = np.unique(differences, axis=0)
    feasible = linprog(
        np.zeros(differences.shape[1]),
        A_ub=-differences,
        b_ub=-np.ones(len(differences)),
        bounds=(None, None),
    )
    if not feasible.success:
        n, _, d = tokens.shape
        raise ValueError(
            "batch must have relevant tokens that one prompt puts above the irrelevant tokens of "
            f"their example; for these {n} examples in {d} dimensions there is none"
        )
    sides = np.repeat([1, -1], len(differences))
    machine = SVC(kernel="linear", C=1e8, tol=1e-6)
    machine.fit(np.concatenate([differences, -differences]), sides)
    return machine.coef_[0] / np.linalg.norm(machine.coef_[0])
