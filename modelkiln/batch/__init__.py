"""Files of documents in, a file of answers out: what `modelkiln extract` does, and goes on with after a stop."""
