"""Text encoders: captions as word ids or as embeddings of a frozen model."""
