"""One function per stage: it reads artifacts, writes one and returns it."""
