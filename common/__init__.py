"""What all other packages use: errors, registries, strict configs, files and locks, seeds, messages, the machine."""
