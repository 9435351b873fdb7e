"""The subcommands of ``bench``, one small module each; what is heavy is imported inside the function that needs it."""
