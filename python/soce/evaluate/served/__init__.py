"""A live model behind an OpenAI-compatible endpoint: the server in front of an engine, and who asks it."""
