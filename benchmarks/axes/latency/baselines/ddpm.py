"""The loop of diffusers' ``DDPMScheduler`` over our per-token head, in place of our own loop.

The head's output is v (paradigms/heads.py), hence ``prediction_type="v_prediction"``; the cosine schedule of 1000 steps
is diffusers' ``squaredcos_cap_v2``, and ``timestep_spacing="linspace"`` keeps the steps that ``respaced`` keeps. The
scheduler draws the noise of each step itself, with the variance that the head has learned. Backbone and unmasking are
ours, but on a GPU they run without CUDA graphs here, since the scheduler looks at its tables from the host and cannot
be captured.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from .....backbones.linear import Linear
from .....common.errors import UserError
from .....common.seeds import ItemRNG
from .....paradigms.base import Conditions, Paradigm
from .....paradigms.diffusion import STEPS
from .....paradigms.guidance import guide
from .....paradigms.heads import DiffusionHead, HeadSampler
from .....paradigms.session import Session


def plain(head: DiffusionHead) -> DiffusionHead:
    """A copy of the head whose linear layers are torch's own, without our engine's CPU optimisations."""
    twin = copy.deepcopy(head)
    for module in twin.modules():
        if isinstance(module, Linear):
            module.forward = partial(torch.nn.Linear.forward, module)  # type: ignore[method-assign]
    return twin


class DiffusersHead:
    """A model with a diffusion head, from which diffusers draws the tokens."""

    own_weights: ClassVar[bool] = False

    def __init__(self, model: Paradigm) -> None:
        from diffusers import DDPMScheduler

        head = model.get_submodule("head")
        if not isinstance(head, DiffusionHead):
            raise UserError("diffusers denoises; the head of this model is a flow, for which there is no baseline")
        self.model, self.head, self.plain = model, head, plain(head)
        self.scheduler: Any = DDPMScheduler(
            num_train_timesteps=STEPS, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction",
            variance_type="learned", clip_sample=False, timestep_spacing="linspace",
        )  # fmt: skip

    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """Latents (B, T, D)."""
        if sampler.temperature != 1:
            raise UserError(f"diffusers' DDPM has no temperature; set the sampler's to 1, not {sampler.temperature}")
        self.scheduler.set_timesteps(sampler.diffusion_steps, device=conditions.text.device)
        with self._in_place_of_ours():
            return self.model.generate(conditions, frames, sampler, rng)

    def sample(self, z_RC: Tensor, noise_SRD: Tensor, settings: HeadSampler, scale: Tensor) -> Tensor:
        """Draw one token per row, (R, D); arguments as of ``DiffusionHead.sample``, with only the first noise used."""
        x_RD, head, kept = noise_SRD[0], self.plain, settings.diffusion_steps
        for i, t in enumerate(self.scheduler.timesteps):
            rows = x_RD.repeat(settings.branches, 1).to(z_RC.dtype)
            y_RW = head.activated(t.expand(len(rows)), z_RC)
            v = guide(head.predict(rows, y_RW).float(), settings, scale)
            errors_RD = head.guided_error(y_RW, settings, scale)
            variance = head.diffusion.deviations(kept, slice(i, i + 1), errors_RD[None])[0].square()
            x_RD = self.scheduler.step(torch.cat([v, variance], dim=1), t, x_RD, return_dict=False)[0]
        return x_RD

    @contextmanager
    def _in_place_of_ours(self) -> Iterator[None]:
        """Inside, the head samples by diffusers, and steps run at once instead of being captured."""

        def at_once(session: Session, kind: Any, step: Callable[[], None]) -> None:
            step()

        captured = Session.run
        setattr(self.head, "sample", self.sample)  # noqa: B010 (an instance's attribute hides its class' method)
        setattr(Session, "run", at_once)  # noqa: B010
        try:
            yield
        finally:
            delattr(self.head, "sample")
            setattr(Session, "run", captured)  # noqa: B010
