"""Optimizers: functions of this update's hyper-parameters to an optax transformation.

    a2c(tasks, policy, h, optimizer=muon)
    a2c(tasks, policy, h, optimizer=lambda h: optax.lion(h["learning_rate"]))

The hyper-parameters are traced scalars, so a schedule of theirs costs no compilation and `vmap`
sweeps them. The state of the transformation must have one form whatever their values.
"""

from collections.abc import Callable
from typing import Any

import optax
import optax.contrib

from metarl_jax.learning.schedules import Hyperparameters

Optimizer = Callable[[Hyperparameters], optax.GradientTransformation]
"""This update's hyper-parameters, as scalars, to the transformation of its gradient."""


def adam(h: Hyperparameters) -> optax.GradientTransformation:
    """Adam, after clipping by the global norm.

    Args:
        h: of which `learning_rate` and `max_gradient_norm` are read.

    Reference:
        Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.
    """
    return _clipped(h, optax.adam(h["learning_rate"], eps=1e-5))


def adamw(h: Hyperparameters) -> optax.GradientTransformation:
    """Adam with decoupled weight decay, after clipping by the global norm.

    Args:
        h: of which `learning_rate`, `max_gradient_norm` and `weight_decay` are read.

    Reference:
        Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2.
    """
    decay: Any = h["weight_decay"]
    return _clipped(h, optax.adamw(h["learning_rate"], eps=1e-5, weight_decay=decay))


def muon(h: Hyperparameters) -> optax.GradientTransformation:
    """Muon for matrices and Adam for every other leaf, after clipping by the global norm.

    Args:
        h: of which `learning_rate` and `max_gradient_norm` are read.

    Reference:
        Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    return _clipped(h, optax.contrib.muon(h["learning_rate"]))


def rmsprop(h: Hyperparameters) -> optax.GradientTransformation:
    """RMSProp, after clipping by the global norm: the optimizer of A3C.

    Args:
        h: of which `learning_rate` and `max_gradient_norm` are read.

    Reference:
        Mnih et al. 2016, "Asynchronous methods for deep reinforcement learning", eq. S2-S3.
    """
    return _clipped(h, optax.rmsprop(h["learning_rate"], decay=0.99, eps=1e-5))


def sgd(h: Hyperparameters) -> optax.GradientTransformation:
    """Stochastic gradient descent, after clipping by the global norm.

    Args:
        h: of which `learning_rate` and `max_gradient_norm` are read.
    """
    return _clipped(h, optax.sgd(h["learning_rate"]))


def _clipped(
    h: Hyperparameters, transformation: optax.GradientTransformation
) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(h["max_gradient_norm"]), transformation)
