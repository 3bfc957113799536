"""The peer in PyTorch: the same network, which takes the same gradient of the same loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.workloads import NUM_ARMS
from metarl_envs.bandit import bandit
from metarl_jax import (
    Architecture,
    MetaEpisode,
    UpdateConfig,
    a2c,
    a2c_objective,
    adaptive_policy,
    collect,
    gru,
    hyperparameters,
    start,
    task_keys,
)
from metarl_jax.learning.gradient import make_targets, total_loss
from metarl_jax.learning.optimizers import adam
from metarl_jax.learning.schedules import at_progress
from metarl_jax.learning.train_state import AlgorithmSpec

torch = pytest.importorskip("torch")

from benchmarks import peer  # noqa: E402
from support.scripted_rollouts import untold  # noqa: E402

HIDDEN_SIZE, NUM_TASKS, NUM_PULLS = 24, 8, 30


@pytest.fixture(scope="module")
def ours():
    """Weights, the rollout they made, and the gradient of A2C's loss."""
    tasks = bandit(num_arms=NUM_ARMS, num_pulls=NUM_PULLS)
    policy = adaptive_policy(tasks, gru(HIDDEN_SIZE), Architecture(peer.EMBEDDING_SIZE))
    config, settings = UpdateConfig(num_tasks=NUM_TASKS), hyperparameters()
    learner = a2c(tasks, policy, settings, config).init(jax.random.key(0)).learner
    problem = AlgorithmSpec(policy, MetaEpisode(tasks), config, a2c_objective, adam, baseline=True)
    h = at_progress(settings, jnp.zeros(()))
    batch = jax.vmap(tasks.sample)(task_keys(jax.random.key(1), NUM_TASKS))
    actors = start(policy, problem.meta_episode, batch, task_keys(jax.random.key(2), NUM_TASKS))

    def loss(weights):
        params = learner.params.replace(weights=weights)
        _, rollout, outputs = collect(policy, params, problem.meta_episode, actors)
        targets, _ = make_targets(problem, learner, h, rollout, untold(rollout))
        return total_loss(a2c_objective(h), learner.loss_params, outputs, rollout, targets)[
            0
        ], rollout

    leaves, structure = jax.tree.flatten(learner.params.weights)
    keys = jax.random.split(jax.random.key(3), len(leaves))
    far = [x + 0.2 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    weights = jax.tree.unflatten(structure, far)  # no head near 0, no bias at 0
    gradient, rollout = jax.jit(jax.grad(loss, has_aux=True))(weights)
    return weights, rollout, gradient


def in_torch_s_order(weights):
    """The weights, or their gradients, under the names of the peer's parameters."""
    embedding, memory, heads = (
        jax.tree.map(np.asarray, weights[part]["params"])
        for part in ("embedding", "memory", "heads")
    )
    candidate = memory["candidate_bias"]
    named = {
        "memory.weight_ih": memory["input_gates"]["kernel"].T,
        "memory.bias_ih": memory["input_gates"]["bias"],
        "memory.weight_hh": memory["state_gates"]["kernel"].T,
        "memory.bias_hh": np.concatenate([np.zeros(2 * HIDDEN_SIZE, np.float32), candidate]),
    }
    layers = {
        "transition": embedding["Dense_0"],
        "observation": embedding["Dense_1"],
        "critic": heads["Dense_0"],
        "actor": heads["Dense_1"],
    }
    for name, layer in layers.items():
        named |= {f"{name}.weight": layer["kernel"].T, f"{name}.bias": layer["bias"]}
    return named


def test_gradient_is_that_of_our_network(ours):
    weights, rollout, gradient = ours
    network = peer.Network(HIDDEN_SIZE)
    network.load_state_dict(
        {name: torch.tensor(value) for name, value in in_torch_s_order(weights).items()}
    )
    actions = iter(torch.tensor(np.asarray(rollout.action)).long())
    rewards = iter(torch.tensor(np.asarray(rollout.outcome.reward)))
    record = peer.meta_episode(
        network, NUM_TASKS, lambda logits: next(actions), lambda pulled: next(rewards), NUM_PULLS
    )
    np.testing.assert_allclose(record.values.detach().numpy(), rollout.value, rtol=1e-4, atol=1e-5)
    peer.a2c_loss(record, peer.Settings()).backward()
    expected = in_torch_s_order(gradient)
    got = {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}
    got["memory.bias_hh"][: 2 * HIDDEN_SIZE] = 0.0  # added to the input's: ours has them once
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(
            got[name], value, rtol=1e-3, atol=1e-5 * np.abs(value).max(), err_msg=name
        )
        assert np.abs(value).max() > 1e-4 or name == "observation.weight"  # it reads a 0


def test_an_update_in_torch_learns_from_whole_meta_episodes():
    learner = peer.LearnerState(HIDDEN_SIZE, NUM_TASKS)
    before = [parameter.detach().clone() for parameter in learner.network.parameters()]
    assert 20 < float(learner.update()) < 80  # 100 pulls that pay half of the time
    moved = [
        not torch.equal(old, new)
        for old, new in zip(before, learner.network.parameters(), strict=True)
    ]
    assert sum(moved) == len(moved) - 1  # all but the weights that read the observation, a 0
