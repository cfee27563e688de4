"""Keyword extraction over two encoders: find a document's phrases, encode them, rank them; as KeyBERT does it."""
