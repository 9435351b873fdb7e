"""Residual vector quantisation: K codebooks in a row, each coding what the ones before it left over.

    r_0 = z;   c_k = argmin_j |r_k - e_kj|^2;   r_{k+1} = r_k - e_{k, c_k};   z_hat = sum_k e_{k, c_k}

Codebooks are learnt without gradients, as exponential moving averages of the vectors assigned to them (van den Oord et
al. 2017, appendix A.1; SoundStream, Zeghidour et al. 2021, section III-C): k-means on the first latents sets them up,
and an entry that hardly any vector chooses is moved onto a vector of the current batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResidualQuantiser(nn.Module):
    """K codebooks of ``cardinality`` entries in D dimensions.

    Buffers: ``codebooks_KCD`` is all that coding needs; ``counts_KC`` and ``sums_KCD`` are the running assignments.

    Args:
        decay: of the moving averages, per training step.
        dead: an entry whose running count per step is below this is moved onto a batch vector.
    """

    codebooks_KCD: Tensor
    counts_KC: Tensor
    sums_KCD: Tensor

    def __init__(self, codebooks: int, cardinality: int, dim: int, decay: float = 0.99, dead: float = 0.05) -> None:
        super().__init__()
        self.decay, self.dead = decay, dead
        self.register_buffer("codebooks_KCD", torch.zeros(codebooks, cardinality, dim))
        self.register_buffer("counts_KC", torch.ones(codebooks, cardinality), persistent=False)
        self.register_buffer("sums_KCD", torch.zeros(codebooks, cardinality, dim), persistent=False)

    def quantise(self, z_BTD: Tensor) -> Tensor:
        """Latents (B, T, D) to codes (B, K, T), int64: the nearest entry, level by level."""
        residual_MD = z_BTD.reshape(-1, z_BTD.shape[-1])
        codes = []
        for codebook_CD in self.codebooks_KCD:
            code_M = nearest(residual_MD, codebook_CD)
            codes.append(code_M.view(z_BTD.shape[:2]))
            residual_MD = residual_MD - codebook_CD[code_M]
        return torch.stack(codes, dim=1)

    def dequantise(self, codes_BKT: Tensor) -> Tensor:
        """Codes (B, K, T) to latents (B, T, D): the sum of the chosen entries."""
        entries = [codebook_CD[codes_BKT[:, k]] for k, codebook_CD in enumerate(self.codebooks_KCD)]
        return torch.stack(entries).sum(dim=0)

    @torch.no_grad()
    def initialise(self, z_MD: Tensor, generator: torch.Generator, iterations: int = 10) -> None:
        """K-means (Lloyd) on vectors (M, D), level by level on what the level before leaves."""
        residual_MD = z_MD
        for k in range(len(self.codebooks_KCD)):
            pick = torch.randint(len(residual_MD), (self.codebooks_KCD.shape[1],), generator=generator)
            self.codebooks_KCD[k] = residual_MD[pick]
            for _ in range(iterations):
                count_C, sum_CD = self._assign(residual_MD, k)[1:]
                filled_C = count_C > 0
                self.codebooks_KCD[k, filled_C] = (sum_CD / count_C[:, None].clamp_min(1))[filled_C]
            self.sums_KCD[k] = self.codebooks_KCD[k]
            residual_MD = residual_MD - self.codebooks_KCD[k][nearest(residual_MD, self.codebooks_KCD[k])]
        self.counts_KC.fill_(1.0)

    @torch.no_grad()
    def update(self, z_BTD: Tensor, generator: torch.Generator) -> None:
        """One training step of the codebooks on latents (B, T, D); the latents themselves get no gradient here."""
        residual_MD = z_BTD.reshape(-1, z_BTD.shape[-1])
        for k in range(len(self.codebooks_KCD)):
            code_M, count_C, sum_CD = self._assign(residual_MD, k)
            next_MD = residual_MD - self.codebooks_KCD[k][code_M]
            self.counts_KC[k].lerp_(count_C, 1 - self.decay)
            self.sums_KCD[k].lerp_(sum_CD, 1 - self.decay)
            self._restart(k, residual_MD, generator)
            self.codebooks_KCD[k] = self.sums_KCD[k] / self.counts_KC[k, :, None]
            residual_MD = next_MD

    def _assign(self, residual_MD: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        codebook_CD = self.codebooks_KCD[k]
        code_M = nearest(residual_MD, codebook_CD)
        count_C = torch.bincount(code_M, minlength=len(codebook_CD)).to(residual_MD)
        return code_M, count_C, torch.zeros_like(codebook_CD).index_add_(0, code_M, residual_MD)

    def _restart(self, k: int, residual_MD: Tensor, generator: torch.Generator) -> None:
        dead_C = self.counts_KC[k] < self.dead
        pick = torch.randint(len(residual_MD), (int(dead_C.sum()),), generator=generator)
        self.sums_KCD[k, dead_C] = residual_MD[pick]
        self.counts_KC[k, dead_C] = 1.0


def nearest(x_MD: Tensor, codebook_CD: Tensor) -> Tensor:
    """Index (M,) of the entry of ``codebook_CD`` nearest to each row of ``x_MD`` in Euclidean distance."""
    return (codebook_CD.square().sum(1) - 2 * x_MD @ codebook_CD.T).argmin(dim=1)
