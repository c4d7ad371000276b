"""What a policy says of a decision besides the action: infos that `policy.outputs=true` keeps."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.policies.sampling import finite

ENTROPY = "policy_entropy"
"""Of the distribution that the action is drawn from, in nats; of several numbers in an action the sum."""

VALUE = "policy_value"
"""The return that it expects from here on, as it was trained: discounted, and of scaled rewards if those were."""


def no_outputs(policy: str) -> InvalidInput:
    """The error for a policy that has neither."""
    return InvalidInput(
        f"policy.outputs=true keeps the entropy and the value of each decision, and {policy} has neither. Agents of "
        f"ppo, a2c, trpo, ppo_lstm and maskableppo have both (policy=sb3), networks that give logits have the entropy "
        f"(policy=torchscript).{_without()}"
    )


def name_taken(name: str) -> InvalidInput:
    """The error for an environment that has an info of that name itself."""
    return InvalidInput(
        f"The environment gives the info {name}, and policy.outputs=true keeps the policy's under that name."
        f"{_without()}"
    )


def _without() -> str:
    return f"\nWithout what the policy says: {again(policy__outputs=None)}"


def entropy_of(logits: Float[np.ndarray, "n"]) -> np.float32:
    """Of the softmax of some logits, in nats; minus infinity stands for a choice that is never taken."""
    shifted = np.maximum(logits, np.finfo(np.float32).min).astype(np.float64)
    finite(shifted)
    weights = np.exp(shifted - shifted.max())
    chances = weights / weights.sum()
    logs = np.log(chances, out=np.zeros_like(chances), where=chances > 0)
    return np.float32(-(chances * logs).sum())
