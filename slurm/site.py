"""Site settings: what each array element asks the cluster for, from a YAML file with a profile per kind of node.

Precedence: an option on the command line, then the profile, then the defaults below. The file is slurm/site.yaml or the
one named by ``--site``; reading is strict, an unknown key is an error that names it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.config import from_dict
from ..common.errors import UserError, did_you_mean
from ..common.strict_yaml import parse_yaml

SITE = Path(__file__).parent / "site.yaml"


@dataclass(frozen=True)
class Site:
    """What one array element asks for.

    Attributes:
        partition, account, qos: as the cluster calls them; empty: the cluster's default.
        gpus, cpus, mem: per element; memory in GB.
        time: minutes that one element may take before it is stopped, saved and queued again.
        array_parallelism: elements at a time; on cluster ``local``: worker processes at a time.
        max_num_timeout: how often an element that reached its time limit is queued again.
        signal_delay_s: how long before the limit it gets the signal to stop (at most half of the limit); must be
            enough to finish an update and save it.
        max_array: elements in one array at most (the cluster's MaxArraySize); more groups share elements.
        setup: shell lines before the work, e.g. ``module load cuda``.
        extra: further sbatch options by their long names, e.g. ``{constraint: a100-80gb}``.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    gpus: int = 0
    cpus: int = 2
    mem: float = 8.0
    time: int = 240
    array_parallelism: int = 32
    max_num_timeout: int = 20
    signal_delay_s: int = 120
    max_array: int = 1000
    setup: tuple[str, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def notice_s(self) -> int:
        """Seconds from the signal to stop until the time limit."""
        return min(self.signal_delay_s, 30 * self.time)

    def __post_init__(self) -> None:
        for name in ("cpus", "mem", "time", "array_parallelism", "max_array", "signal_delay_s"):
            if getattr(self, name) <= 0:
                raise UserError(f"site setting {name} is {getattr(self, name)} but must be above 0")
        for name in ("gpus", "max_num_timeout"):
            if getattr(self, name) < 0:
                raise UserError(f"site setting {name} is {getattr(self, name)} but must be 0 or more")


def load_site(path: Path | None, profile: str, options: Mapping[str, Any]) -> Site:
    """The settings of ``profile`` in the file at ``path`` (None: the packaged one), with ``options`` on top.

    Raises:
        UserError: no such file or profile, bad YAML, an unknown key or a value of the wrong type.
    """
    path = path or SITE
    try:
        profiles = parse_yaml(path.read_text(encoding="utf-8"), path.name) or {}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a YAML file of site profiles") from error
    if not isinstance(profiles, Mapping) or not all(isinstance(held, Mapping) for held in profiles.values()):
        raise UserError(f"{path.name}: expected profiles, each a mapping of settings, like slurm/site.yaml")
    if profile not in profiles:
        known = [str(name) for name in profiles]
        raise UserError(f"{path.name}: no profile {profile!r}{did_you_mean(profile, known)}; known: {', '.join(known)}")
    site = from_dict(Site, profiles[profile], f"{path.name}: {profile}")
    return dataclasses.replace(site, **{key: value for key, value in options.items() if value is not None})


def sbatch_parameters(site: Site, exclusive: bool, name: str, setup: tuple[str, ...]) -> dict[str, Any]:
    """The parameters of submitit's ``SlurmExecutor`` that ``site`` stands for."""
    asked = {
        "job_name": name, "partition": site.partition, "account": site.account, "qos": site.qos,
        "gpus_per_node": site.gpus, "exclusive": exclusive,
    }  # fmt: skip
    return {
        **{key: value for key, value in asked.items() if value},
        "cpus_per_task": site.cpus,
        "mem": f"{round(site.mem * 1024)}M",
        "time": site.time,
        "array_parallelism": site.array_parallelism,
        "signal_delay_s": site.notice_s,
        "setup": [*setup, *site.setup],
        "additional_parameters": dict(site.extra),
    }
