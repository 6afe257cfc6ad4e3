"""vLLM: its workers mix soups themselves, by an extension that soce gives them."""
