"""What every folder needs and none owns: errors, registries, strict configs, atomic files, seeds, progress."""
