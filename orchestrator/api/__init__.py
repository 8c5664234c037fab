"""The HTTP way in: translates, calls app, translates back; holds no rule of its own."""
