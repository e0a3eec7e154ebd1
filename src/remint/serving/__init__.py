"""The ASGI service. Needs the extra ``remint[serve]``; imports neither DVC nor pandas nor git."""
