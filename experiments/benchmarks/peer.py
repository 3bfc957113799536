"""A peer: RL² with A2C on the bandit in plain PyTorch, vectorised, of the same size.

The same network, loss and optimiser as ours without the running scales: tanh embeddings of the
last transition and of the observation, a GRU, linear heads; GAE, Adam, one gradient step through
the whole meta-episode, the graph of the rollout being that of the loss.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import torch  # type: ignore[import-not-found]  # a peer, no dependency
from torch import Tensor, nn  # type: ignore[import-not-found]
from torch.nn import functional  # type: ignore[import-not-found]

from benchmarks.flops import StepFlops
from benchmarks.timing import Variant
from benchmarks.workloads import NUM_ARMS, NUM_PULLS
from metarl_jax.parallel.host import usable_cores

EMBEDDING_SIZE = 64
_REWARD, _TRUNCATED = NUM_ARMS + 1, NUM_ARMS + 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Of A2C; the defaults are `metarl_jax.hyperparameters`'.

    Attributes:
        learning_rate: Adam's step size.
        discount: γ.
        gae_lambda: λ.
        entropy_coefficient: weight of the entropy bonus.
        value_coefficient: weight of half the squared value error.
        max_gradient_norm: to which the gradient is clipped.
    """

    learning_rate: float = 1e-3
    discount: float = 0.99
    gae_lambda: float = 0.95
    entropy_coefficient: float = 0.01
    value_coefficient: float = 0.5
    max_gradient_norm: float = 0.5


class Network(nn.Module):
    """The recurrent policy for a bandit.

    Args:
        hidden_size: units of the GRU.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        # The transition: observation, action one-hot, reward, terminated, truncated, observation.
        self.transition = nn.Linear(NUM_ARMS + 5, EMBEDDING_SIZE)
        self.observation = nn.Linear(1, EMBEDDING_SIZE)
        self.memory = nn.GRUCell(2 * EMBEDDING_SIZE, hidden_size)
        self.actor = nn.Linear(hidden_size + EMBEDDING_SIZE, NUM_ARMS)
        self.critic = nn.Linear(hidden_size + EMBEDDING_SIZE, 1)

    def forward(self, h: Tensor, transition: Tensor, observation: Tensor) -> tuple[Tensor, ...]:
        """One step: the state [B, M], logits [B, k] and the value [B]."""
        o = torch.tanh(self.observation(observation))
        h = self.memory(torch.cat([torch.tanh(self.transition(transition)), o], -1), h)
        features = torch.cat([h, o], -1)
        return h, self.actor(features), self.critic(features)[:, 0]


class Record(NamedTuple):
    """A meta-episode in every task, time first."""

    logits: Tensor  # [T, B, k]
    values: Tensor  # [T, B]
    actions: Tensor  # [T, B]
    rewards: Tensor  # [T, B]


def meta_episode(
    network: Network,
    num_tasks: int,
    choose: Callable[[Tensor], Tensor],
    pull: Callable[[Tensor], Tensor],
    num_pulls: int = NUM_PULLS,
) -> Record:
    """Acts through whole meta-episodes, keeping the graph.

    Args:
        network: what acts.
        num_tasks: B.
        choose: logits [B, k] -> actions [B].
        pull: actions [B] -> rewards [B].
        num_pulls: T.
    """
    device = network.critic.weight.device
    h = torch.zeros(num_tasks, network.memory.hidden_size, device=device)
    observation = torch.zeros(num_tasks, 1, device=device)
    transition = torch.zeros(num_tasks, NUM_ARMS + 5, device=device)  # nothing was done yet
    steps = []
    for _ in range(num_pulls):
        h, logits, values = network(h, transition, observation)
        with torch.no_grad():
            actions = choose(logits)
            rewards = pull(actions)
            transition = torch.zeros_like(transition)
            transition[:, 1 : 1 + NUM_ARMS] = functional.one_hot(actions, NUM_ARMS)
            transition[:, _REWARD], transition[:, _TRUNCATED] = rewards, 1.0
        steps.append((logits, values, actions, rewards))
    return Record(*(torch.stack(part) for part in zip(*steps, strict=True)))


def a2c_loss(record: Record, settings: Settings) -> Tensor:
    """Policy gradient + value error - entropy bonus, the mean over steps and tasks."""
    advantages = generalized_advantages(record.rewards, record.values.detach(), settings)
    targets = advantages + record.values.detach()
    log_probs = functional.log_softmax(record.logits, -1)
    chosen = log_probs.gather(-1, record.actions[..., None])[..., 0]
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    value_error = 0.5 * (record.values - targets).square()
    return (
        -advantages * chosen
        + settings.value_coefficient * value_error
        - settings.entropy_coefficient * entropy
    ).mean()


def generalized_advantages(rewards: Tensor, values: Tensor, settings: Settings) -> Tensor:
    """GAE(λ) [T, B]; nothing counts after the meta-episode's end."""
    advantages = torch.zeros_like(rewards)
    advantage = following = torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        error = rewards[t] + settings.discount * following - values[t]
        advantage = error + settings.discount * settings.gae_lambda * advantage
        advantages[t], following = advantage, values[t]
    return advantages


class LearnerState:
    """A network and its optimiser.

    Args:
        hidden_size: units of the GRU.
        num_tasks: B, tasks of a batch.
        settings: of A2C.
    """

    def __init__(self, hidden_size: int, num_tasks: int, settings: Settings = Settings()) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = Network(hidden_size).to(device)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=settings.learning_rate, eps=1e-5
        )
        self.num_tasks, self.settings, self.device = num_tasks, settings, device

    def update(self) -> Tensor:
        """One step on fresh tasks; returns the mean return of a meta-episode."""
        probabilities = torch.rand(self.num_tasks, NUM_ARMS, device=self.device)

        def choose(logits: Tensor) -> Tensor:
            return (logits - torch.empty_like(logits).exponential_().log()).argmax(-1)

        def pull(actions: Tensor) -> Tensor:
            paid = probabilities.gather(-1, actions[:, None])[:, 0]
            return (torch.rand_like(paid) < paid).float()

        record = meta_episode(self.network, self.num_tasks, choose, pull)
        self.optimizer.zero_grad(set_to_none=True)
        a2c_loss(record, self.settings).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_gradient_norm)
        self.optimizer.step()
        return record.rewards.sum(0).mean()


def torch_update(hidden_size: int, num_tasks: int, flops: StepFlops) -> Variant:
    """An update in PyTorch, on as many threads as we have, or on its GPU.

    Args:
        hidden_size: units of the GRU.
        num_tasks: of a batch.
        flops: of the network's step, ours being the same.
    """
    torch.set_num_threads(usable_cores())
    learner = LearnerState(hidden_size, num_tasks)

    def run() -> None:
        float(learner.update())  # waits for it

    steps = num_tasks * NUM_PULLS
    return Variant(run, steps, steps * flops.update)
