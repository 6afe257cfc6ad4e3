"""Where ingredients come from, as their names and files say: stages of training, licences, base models."""
