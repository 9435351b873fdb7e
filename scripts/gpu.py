"""One call on a machine with a GPU: are the captured engines right there, and how fast are they?

    python3 scripts/gpu.py check                    captured against plain steps, GPU against CPU; seconds
    python3 scripts/gpu.py speed --results DIR      latency cells at full size in bf16; about eight minutes on an H200
    python3 scripts/gpu.py speed --results DIR --part batch

``check`` draws clips with random weights and ends with status 1 if any differ. ``speed`` runs packaged studies through
``bench run``, the most telling cells first, so that a run that is cut short has measured what matters; run again, it
goes on where it stopped. Needs torch and the core packages; no weights, no data, no network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Hashable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# Each part answers a question of docs/latency.md; guidance is on, text has 64 tokens.
PARTS: dict[str, list[str]] = {
    "first": ["latency", "--set", "latency.frame_rate=50"],
    "batch": ["latency_batch", "--sweep", "latency.frame_rate=50", "--sweep", "latency.batch=1,2,4,8,64"],
    "full": ["latency_batch", "--sweep", "latency.frame_rate=50", "--sweep", "latency.batch=16,32,128,256"],
    "duration": ["latency_duration"],
    "layers": ["latency_layers"],
    "table8": ["impact_table8"],
    "rtf": ["mntp_rtf"],
}


def speed(results: Path, parts: list[str]) -> int:
    """Run the latency studies on the GPU."""
    worst = 0
    for part in parts:
        study, *options = PARTS[part]
        command = [
            sys.executable, "-c", "from benchmarks.cli import main; main()", "run", study, *options, "--device", "cuda",
            "--results", str(results), "--out", str(results / "REPORT.md"), "--work", str(results / "runs"),
        ]  # fmt: skip
        print("$ bench", *command[3:], flush=True)
        worst = max(worst, subprocess.run(command, cwd=ROOT).returncode)
    return worst


def check() -> int:
    """Compare what a GPU draws with captured steps, with plain steps, and with the CPU; returns how many differ."""
    import torch

    if not torch.cuda.is_available():
        print("no GPU is visible to torch")
        return 2
    print(torch.cuda.get_device_name(), torch.__version__)
    torch.backends.cuda.matmul.allow_tf32 = False
    wrong = 0
    for text in ("cross", "prefix"):
        for name in ("ar", "fm", "mar", "ntp", "mntp", "masked_fm"):
            model, settings = small(name, text)
            on_cpu = draw(model, settings, 0)
            model.to("cuda")
            with plain_steps():
                plain = draw(model, settings, 0)
            draw(model, settings, 1)  # captures, on other clips
            captured = draw(model, settings, 0)
            errors = {"captured / plain": distance(captured, plain), "GPU / CPU": distance(captured, on_cpu)}
            # Two devices round differently, which a chain of argmax or of denoising steps may amplify.
            limits = {"captured / plain": 1e-5, "GPU / CPU": 1e-2}
            bad = [what for what, error in errors.items() if not error <= limits[what]]
            wrong += bool(bad)
            told = ", ".join(f"{what} {error:.1e}" for what, error in errors.items())
            print(f"{'WRONG' if bad else 'ok':6}{name:10}{text:8}{told}")
    return int(wrong > 0)


def small(name: str, text: str) -> tuple[Any, Any]:
    """A small model with random weights, no zero among its layers, and a sampler."""
    import torch

    import paradigms
    from backbones import BackboneConfig
    from representations.base import LatentSpec
    from representations.text import TextSpec

    torch.manual_seed(0)
    latent = LatentSpec("random", 16000, 25.0, dim=32, codebooks=4, cardinality=256)
    spec = TextSpec(kind="embeddings", dim=48, vocabulary=(), max_length=16)
    backbone = BackboneConfig(d_model=256, n_layers=4, n_heads=4, d_ff=512, text=text)  # type: ignore[arg-type]
    model = paradigms.build(name, {}, backbone, latent, spec).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    settings = {"ar": {"temperature": 0.0}, "fm": {"steps": 8}, "mar": {"iterations": 6, "diffusion_steps": 10}}
    settings["masked_fm"] = {"iterations": 4, "steps": 6}
    return model, model.sampler(settings.get(name, {"diffusion_steps": 10}))


def draw(model: Any, sampler: Any, seed: int) -> Any:
    """Two clips of 70 frames, more than one bucket of the cache, from noise that the CPU draws."""
    import torch

    from common.seeds import ItemRNG
    from paradigms.base import Conditions

    device = next(model.parameters()).device
    text = torch.randn(2, 16, 48, generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(16) < torch.tensor([[16], [9]])
    conditions = Conditions(text, mask).to(device)
    return model.generate(conditions, 70, sampler, ItemRNG([seed, seed + 1], device)).cpu()


@contextmanager
def plain_steps() -> Any:
    """Steps are called, not captured."""
    from paradigms.session import Session

    captured = Session.run

    def run(session: Session, kind: Hashable, step: Callable[[], None]) -> None:
        step()

    Session.run = run  # type: ignore[method-assign]
    try:
        yield
    finally:
        Session.run = captured  # type: ignore[method-assign]


def distance(here: Any, there: Any) -> float:
    """Share of codes that differ, or the relative error of latents."""
    if not here.is_floating_point():
        return float((here != there).float().mean())
    return float((here - there).norm() / there.norm())


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["check", "speed"])
    parser.add_argument("--results", type=Path, default=Path("results"), help="where records go")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this part of speed; repeatable")
    given = parser.parse_args()
    return check() if given.what == "check" else speed(given.results, given.part or list(PARTS))


if __name__ == "__main__":
    sys.exit(main())
