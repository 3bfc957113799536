"""An agent: a finished run that acts in a gymnasium loop of your own.

    agent = Agent.load("runs/goal_grid_3")
    for _ in range(4):                                   # episodes in one task
        action = agent.act(env.reset()[0])
        while action is not None:                        # None: the episode ended
            action = agent.act(*env.step(action)[:4])
    agent.reset()                                        # the next task: the memory is blank again

It needs the run's folder alone, neither the task family nor its environment.
"""

import os
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metarl_jax.checks import require_positive, require_seed
from metarl_jax.experiment.policy_file import load_params, load_policy_record
from metarl_jax.files import write_whole
from metarl_jax.policy.acting import Actor, ActorState, Sensed, make_actor
from metarl_jax.policy.exported import begin, export_actor
from metarl_jax.policy.policy import Policy
from metarl_jax.policy.senses import Autoreset, Senses
from metarl_jax.tasks.interface import Interface, load_interface
from metarl_jax.trees import select, take
from metarl_jax.types import Array, ConfigurationError, PyTree

Action = Any
"""An action in the environment's units, as its action space samples it; numpy's. For many
environments every array has a leading axis [B]."""


class Agent:
    """A policy and its memory, in one environment or in many.

    Args:
        policy: learned or classical.
        params: its parameters.
        interface: of the environments it acts in; `interface_of(tasks)` reads it off a family.
        greedy: takes the most probable action, not a sample. Evaluations sample.
        update: the number of the checkpoint it comes from.
    """

    def __init__(
        self,
        policy: Policy,
        params: PyTree,
        interface: Interface,
        *,
        greedy: bool = False,
        update: int | None = None,
    ) -> None:
        self.policy, self.params, self.interface = policy, params, interface
        self.greedy, self.update = greedy, update
        self._actor = make_actor(policy, interface, greedy=greedy)
        self._begin = jax.jit(partial(begin, self._actor), static_argnums=0)
        self._step = jax.jit(partial(_step_all, self._actor), donate_argnums=1)
        self._state: Any = None  # ActorState [B]
        self._senses: Senses | None = None

    @classmethod
    def load(
        cls,
        run: str | os.PathLike[str],
        *,
        step: int | None = None,
        member: int = 0,
        greedy: bool = False,
        policy: Policy | None = None,
    ) -> "Agent":
        """The agent of a run that was trained, or is being trained.

        Args:
            run: the run's folder.
            step: the update of the checkpoint; None for the newest good one.
            member: which agent of a population.
            greedy: takes the most probable action, not a sample. Evaluations sample.
            policy: the one that was trained; only needed where its memory is your own code and was
                given to `train` in Python.

        Raises:
            ConfigurationError: the folder is no run, has no interface.json, policy.json or
                checkpoint that can be used, or has no such member.
        """
        folder = Path(run)
        interface, record = load_interface(folder), load_policy_record(folder)
        if not 0 <= member < record.agents:
            raise ConfigurationError(
                f"member must be from 0 to {record.agents - 1}, the agents of this run, got "
                f"{member}."
            )
        policy = policy or record.build(interface.specification, folder)
        restored = load_params(folder, record, policy, interface.specification, step)
        for reason in restored.passed_over:
            warnings.warn(f"passed over in {folder / 'checkpoints'}: {reason}", stacklevel=2)
        params = take(restored.state, member) if record.agents > 1 else restored.state
        return cls(policy, params, interface, greedy=greedy, update=restored.step)

    def reset(
        self,
        batch: int | None = None,
        seed: int = 0,
        *,
        autoreset: Autoreset | Any = None,
        context: Any = None,
    ) -> None:
        """Begins a meta-episode: a new task, of which the blank memory knows nothing.

        Call it for each new task, and not between the episodes of one. A new agent is at the start
        of its first task, in one environment.

        Args:
            batch: None for one environment; B for a vector of them, each with a memory of its own.
            seed: of the sampled actions.
            autoreset: when the environments reset themselves: "Disabled", "SameStep" or
                "NextStep". Pass a vector's `metadata["autoreset_mode"]`; by default your loop
                resets them.
            context: [C] or [B, C] float32, `describe(task)`; only for the contextual policy.

        Raises:
            ConfigurationError: an argument is out of its range, or a context is missing.
        """
        require_seed(seed)
        if batch is not None:
            require_positive("batch", batch)
        told = self._told(batch, context)
        self._senses = Senses(self.interface, batch, autoreset)
        self._state = self._begin(batch or 1, np.uint32(seed), *told)

    def act(
        self,
        observation: Any,
        reward: Any = None,
        terminated: Any = None,
        truncated: Any = None,
        final_observation: Any = None,
    ) -> Action:
        """Chooses the next action.

        At the first step of an episode, pass the observation from `env.reset()` alone. Later, pass
        the first four values that `env.step(action)` returned. If they end the episode, the agent
        remembers them and returns None; the next call passes the first observation of the next
        episode.

        If the environment has been reset already, as by a vector that resets in the same step,
        `observation` is the first of the next episode, and `final_observation` is what the action
        led to. With `autoreset="NextStep"`, pass what `step` returned at every step; the vector
        ignores the actions for environments that have just ended.

        Args:
            observation: [O] or [B, O] numbers, or a dict or tuple, as the environment gives it.
                An action mask is its part "action_mask".
            reward: [] or [B] numbers, of the last action.
            terminated: [] or [B] bool: the last action ended the MDP.
            truncated: [] or [B] bool: a time limit ended the episode.
            final_observation: like the observation, read where an episode ended. A vector's
                `infos.get("final_obs")` has this form.

        Returns:
            An int, an array within the bounds of the action space, or a dict or tuple of these;
            with a leading axis [B] for many environments. None if the only environment must be
            reset first.

        Raises:
            ConfigurationError: an argument has the wrong shape or is not finite, or part of a
                transition is missing.
        """
        if self._senses is None:
            self.reset()
        assert self._senses is not None
        sensed, waits = self._senses.read(
            observation, reward, terminated, truncated, final_observation
        )
        if sensed is None:
            return None
        self._state, action = self._step(self.params, self._state, sensed, waits)
        return self._senses.present(action)

    def export(
        self,
        path: str | os.PathLike[str],
        batch: int | None = None,
        *,
        platforms: Sequence[str] = ("cpu",),
    ) -> None:
        """Writes one file that another process runs with jax and flatbuffers, without this package.

            archive = zipfile.ZipFile(path)
            reset, act = (
                jax.export.deserialize(bytearray(archive.read(name))).call
                for name in ("reset", "act")
            )
            state = reset(np.uint32(seed))
            state, action = act(
                state, observation, reward, terminated, truncated, final_observation
            )

        The weights are constants of `act`; the state is a tuple of arrays. The arguments are
        float32 and bool arrays of the shapes that `Agent.act` takes, and all of them are given at
        every step. At a task's first step only the observation is read. Later `final_observation`
        is what the last action led to, and equals the observation unless an episode ended. For the
        contextual policy, `reset` takes the task's description as a second argument.

        Args:
            path: the file's, which is replaced.
            batch: None for one environment; B for a vector of them.
            platforms: the platforms it can run on, such as "cpu", "cuda" or "tpu".

        Raises:
            ConfigurationError: batch is less than 1.
        """
        if batch is not None:
            require_positive("batch", batch)
        spec = self.interface.specification
        content = export_actor(
            self._actor,
            self.params,
            spec,
            context_size=spec.context_size if self.policy.contextual else 0,
            batch=batch,
            platforms=platforms,
        )
        write_whole(Path(path), content)

    def _told(self, batch: int | None, context: Any) -> tuple[np.ndarray, ...]:
        """The context with its leading axis, or nothing."""
        if not self.policy.contextual and context is None:
            return ()
        size = self.interface.specification.context_size if self.policy.contextual else 0
        shape = (size,) if batch is None else (batch, size)
        given = np.shape(context) if context is not None else None
        if given != shape or not self.policy.contextual:
            expected = f"a context of shape {list(shape)}" if size else "no context"
            raise ConfigurationError(
                f"expected {expected} for the {self.policy.name} policy, got "
                f"{'none' if given is None else f'one of shape {list(given)}'}; the contextual "
                "policy acts on reset(context=describe(task)), and no other is told the task."
            )
        return (np.asarray(context, np.float32).reshape(batch or 1, size),)


def _step_all(
    actor: Actor, params: PyTree, state: ActorState, sensed: Sensed, waits: Array | None
) -> tuple[ActorState, PyTree]:
    """One action in each environment; those that wait for their reset stay as they are."""
    after, action = jax.vmap(actor.act, in_axes=(None, 0, 0))(params, state, sensed)
    if waits is not None:
        keyless = [x.replace(key=()) for x in (state, after)]  # it is the same in both
        after = select(waits, *keyless).replace(key=after.key)
    return after, action
