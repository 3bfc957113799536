"""What a gradient keeps from the forward pass, and what it computes again.

The backward pass of a scan reads what each step of it left behind. Of a GRU autodiff leaves a dozen
arrays of the size of its state, and to write and read them takes longer than to work most of them
out anew, a sigmoid away from each other as they are. So a step keeps its arguments and what it
marks, the products of the memory, and the rest is computed twice: the small layers before and after
it too, which are as quick to compute as to keep.

Reference:
    Chen, Xu, Zhang, Guestrin 2016, "Training deep nets with sublinear memory cost", section 3.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name

from metarl_jax.types import Array

_KEPT = "kept"


def save_for_backward(x: Array) -> Array:
    """The same array, which a gradient through `remat` does not compute again.

    Mark what goes into a nonlinearity rather than what comes out: the derivative of a tanh asks
    for the latter, but the mark stands behind it, and all that led to it would be done again.

    Args:
        x: result of what is dear, a matrix product.
    """
    return checkpoint_name(x, _KEPT)


def remat(step: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose gradient keeps its arguments and what `save_for_backward` marked, no more.

    Values and gradients are the same. For functions inside a scan.

    Args:
        step: of arrays.
    """
    policy = jax.checkpoint_policies.save_only_these_names(_KEPT)
    return jax.checkpoint(step, prevent_cse=False, policy=policy)  # a scan has no such risk
