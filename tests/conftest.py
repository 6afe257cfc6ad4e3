"""What all Python tests share: how hard hypothesis tries."""

import os

from hypothesis import settings

# No deadline: on a busy machine a slow example says nothing about the code.
settings.register_profile("fast", max_examples=50, deadline=None, print_blob=True)
settings.register_profile("slow", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
