"""The store of encoded corpora: latents, codes and controls of every clip."""
