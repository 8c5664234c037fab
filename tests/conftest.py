"""What holds for every test."""

from hypothesis import settings

# Examples are judged by what they show, never by how long a busy machine took over them.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
