"""A whole run in one call: trains, evaluates on meta-test tasks, saves and draws.

result = train(tasks, policy, algorithm, total_steps=3_000_000, key=jax.random.key(0),
folder="runs/grid")
print(result.evaluation.episode_return_mean)
agent = Agent.load("runs/grid")
"""

NUM_EVALUATIONS = 20
"""Evaluations in a run where `evaluate_every` is not given."""
