"""A privileged critic: a value head that reads the task, for training alone.

    V_t = W tanh(W' [m_t, s_t, describe(M)])

The policy's actions and its memory do not read the task, so what is trained acts without it.

Reference:
    Pinto, Andrychowicz, Welinder, Zaremba, Abbeel (2018), "Asymmetric actor critic for image-based
    robot learning", section 4.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from metarl_jax.policy.embedding import normalize_observation
from metarl_jax.policy.encoder import flat
from metarl_jax.policy.heads import dense
from metarl_jax.policy.policy import Policy, PolicyOutput, PolicyParams, blank_experience
from metarl_jax.tasks.specification import Specification
from metarl_jax.types import Array, Experience, Key, PyTree

HIDDEN_SIZE = 64
NAME = "task_critic"
"""Under which the weights of a policy hold those of the critic."""


class _TaskCritic(nn.Module):
    @nn.compact
    def __call__(self, features: Array, observation: Array, task: Array) -> Array:
        x = jnp.concatenate([features, observation, task], axis=-1)
        x = jnp.tanh(dense(HIDDEN_SIZE, 2**0.5)(x))
        return dense(1, 1.0)(x)[..., 0]


def with_task_critic(policy: Policy, specification: Specification) -> Policy:
    """The same policy, whose value comes from a head that also reads the experience's context.

    Its weights are the policy's own and, under "task_critic", those of the head, so the policy
    itself acts with the parameters that are trained.

    Args:
        policy: of `metarl_jax.policy`; its memory and actions are not told the task.
        specification: of the tasks, for shapes.

    Returns:
        A policy for experiences that carry `describe(task)`.
    """
    critic, space = _TaskCritic(), specification.observation
    flatten = partial(flat(space).encode, {})

    def own(experience: Experience) -> Experience:
        told = experience.context if policy.contextual else experience.context[..., :0]
        return experience.replace(context=told)

    def init(key: Key) -> PolicyParams:
        policy_key, carry_key, critic_key = jax.random.split(key, 3)
        params = policy.init(policy_key)
        blank = blank_experience(specification, contextual=True)
        _, output = policy.step(params, policy.initial_carry(carry_key), own(blank))
        weights = critic.init(
            critic_key, output.features, flatten(blank.observation), blank.context
        )
        return params.replace(weights=params.weights | {NAME: weights})

    def valued(params: PolicyParams, output: PolicyOutput, experience: Experience) -> PolicyOutput:
        statistics = jax.lax.stop_gradient(params.statistics)
        observation = flatten(
            normalize_observation(space, statistics.observation, experience.observation)
        )
        weights = params.weights[NAME]
        value: Any = critic.apply(weights, output.features, observation, experience.context)
        target = statistics.value_target
        return output.replace(value=value * target.scale + target.mean)

    def told(act: Callable[..., tuple[PyTree, PolicyOutput]]) -> Callable[..., Any]:
        def act_told(params: Any, carry: PyTree, experience: Experience) -> Any:
            carry, output = act(params, carry, own(experience))
            return carry, valued(params, output, experience)

        return act_told

    return policy._replace(init=init, step=told(policy.step), unroll=told(policy.unroll))
