"""A run as a document: page, Markdown and JSON, the model card, and the published soup."""
