"""What a retraining policy would have done: streams with drift at known places, policies, and their replay.

Pure like the core, which is all it imports. ``streams`` makes rows, ``replay`` asks a policy window by window and
counts what its champions got right, ``policies`` are the rules it can ask.
"""
