"""Linear heads fitted to pooled features: what the simulations use, and no formula does."""

import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from prompt_attention.data.checks import check_labels, is_concrete

SOLVED_BY_JAX = ("gradient", "ridge", "least squares")
METHODS = (*SOLVED_BY_JAX, "logistic", "max margin")


def fit_head(
    features: Float[Array, "n d"],
    labels: Float[Array, " n"],
    method: str = "gradient",
    ridge: Real[ArrayLike, "*penalties"] = 0.0,
) -> Float[Array, "*penalties d"]:
    """Fit a head w, without intercept, to labels +1 and -1.

    Args:
        features: one pooled token for each example.
        labels: +1 or -1.
        method: "gradient" is one gradient step from zero, (1/n) sum y_i x_i. "ridge" minimises
            (1/n) sum (y_i - <w, x_i>)^2 + ridge ||w||^2. "least squares" is the solution of minimum
            norm. "logistic" minimises the mean logistic loss + (ridge / 2) ||w||^2. "max margin" is
            the hard-margin support vector machine. The last two are scikit-learn's.
        ridge: the penalty, in squared units of the features. `ridge_error` counts it in units of
            the variance sigma^2 v of the pooled noise, so its `ridge` corresponds to
            ridge * sigma^2 v here. The method "ridge" takes an array of penalties too, and gives a
            head for each from one eigendecomposition.

    Raises:
        ValueError: an unknown method, labels other than +1 and -1, a negative or infinite penalty,
            several penalties for a method other than "ridge", a logistic head without penalty (its
            norm grows without bound on separable features), or a max margin head for features that
            are not separable.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if is_concrete(ridge) and not all(0 <= penalty < math.inf for penalty in np.ravel(ridge)):
        raise ValueError(f"ridge must be finite and >= 0, got {ridge}")
    if method != "ridge" and jnp.ndim(ridge):
        raise ValueError(f'only the method "ridge" takes several penalties, got {method!r}')
    n, d = features.shape
    check_labels(labels, n)
    if method == "gradient":
        return labels @ features / n
    if method == "ridge":
        covariance, target = features.T @ features / n, labels @ features / n
        if jnp.ndim(ridge) == 0:
            penalised = covariance + ridge * jnp.eye(d)
            return jax.scipy.linalg.solve(penalised, target, assume_a="pos")
        variances, directions = jnp.linalg.eigh(covariance)
        shrunk = target @ directions / (variances + jnp.asarray(ridge)[..., None])
        return shrunk @ directions.T
    if method == "least squares":
        return jnp.linalg.lstsq(features, labels)[0]
    # Labelled features and their mirror images are two classes without an intercept.
    signed = np.asarray(labels[:, None] * features, np.float64)
    both, sides = np.concatenate([signed, -signed]), np.repeat([1, -1], n)
    solve = _logistic if method == "logistic" else _max_margin
    return jnp.asarray(solve(both, sides, ridge), features.dtype)


def _logistic(both, sides, ridge):
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    if not ridge > 0:
        raise ValueError(f"a logistic head needs ridge > 0, got {ridge}")
    options = {"fit_intercept": False, "tol": 1e-8, "max_iter": 10_000}
    return LogisticRegression(C=1 / (len(both) * ridge), **options).fit(both, sides).coef_[0]


def _max_margin(both, sides, _):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import SVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine = SVC(kernel="linear", C=1e10, max_iter=1_000_000).fit(both, sides)
    if not (sides * (both @ machine.coef_[0]) > 0).all():
        raise ValueError("a max margin head needs separable features, and these are not")
    return machine.coef_[0]
