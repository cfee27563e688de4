"""`modelkiln bench`: an artifact against KeyBERT over its uncompiled model, on the same texts, in one run.

Every peer is a process of its own (peer.py), which a library that is measured can't disturb. They are asked in turns,
one request at a time (A B A B), so that a machine that slows down slows all of them down: quote the ratios.
"""
