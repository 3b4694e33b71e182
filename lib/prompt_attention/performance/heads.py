"""Linear heads fitted to pooled features: what the simulations use, and no formula does."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real
from scipy import optimize

METHODS = ("gradient", "ridge", "least squares", "logistic", "max margin")


def fit_head(
    features: Float[Array, "n d"],
    labels: Float[Array, " n"],
    method: str = "gradient",
    ridge: Real[ArrayLike, ""] = 0.0,
) -> Float[Array, " d"]:
    """Fit a head w, without intercept, to labels +1 and -1.

    Args:
        features: one pooled token for each example.
        labels: +1 or -1.
        method: "gradient" is one gradient step from zero, (1/n) sum y_i x_i. "ridge" minimises
            (1/n) sum (y_i - <w, x_i>)^2 + ridge ||w||^2. "least squares" is the solution of minimum
            norm. "logistic" minimises the mean logistic loss + (ridge / 2) ||w||^2. "max margin" is
            the hard-margin support vector machine, by scikit-learn; features must be separable.
        ridge: the penalty, in squared units of the features. `ridge_error` counts it in units of
            the variance sigma^2 v of the pooled noise, so its `ridge` corresponds to
            ridge * sigma^2 v here.

    Raises:
        ValueError: an unknown method, a negative penalty, or a logistic head without penalty (its
            norm grows without bound on separable features).
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if not isinstance(ridge, jax.core.Tracer) and not ridge >= 0:
        raise ValueError(f"ridge must be >= 0, got {ridge}")
    n, d = features.shape
    if method == "gradient":
        return labels @ features / n
    if method == "ridge":
        covariance = features.T @ features / n
        return jnp.linalg.solve(covariance + ridge * jnp.eye(d), labels @ features / n)
    if method == "least squares":
        return jnp.linalg.lstsq(features, labels)[0]
    signed = labels[:, None] * features
    return _logistic(signed, ridge) if method == "logistic" else _max_margin(signed)


def _logistic(signed, ridge):
    if not ridge > 0:
        raise ValueError(f"a logistic head needs ridge > 0, got {ridge}")

    found = optimize.minimize(
        lambda w: [np.asarray(part, np.float64) for part in _loss(w, signed, ridge)],
        np.zeros(signed.shape[1]),
        jac=True,
        method="L-BFGS-B",
    )
    return jnp.asarray(found.x, signed.dtype)


@jax.jit
@jax.value_and_grad
def _loss(w, signed, ridge):
    w = w.astype(signed.dtype)
    return jnp.mean(jax.nn.softplus(-signed @ w)) + ridge / 2 * w @ w


def _max_margin(signed):
    from sklearn.svm import SVC  # an optional dependency

    # With every feature and its mirror image the intercept is zero.
    both = np.concatenate([signed, -signed]).astype(np.float64)
    sides = np.repeat([1, -1], len(signed))
    machine = SVC(kernel="linear", C=1e10).fit(both, sides)
    return jnp.asarray(machine.coef_[0], signed.dtype)
