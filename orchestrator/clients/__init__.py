"""The doors to the remotes: they own HTTP, wire words stop here, answers leave as values of `domain.observation`."""
