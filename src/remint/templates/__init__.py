"""What `remint init` writes; the one source of it.

`dvc.yaml` and `params.yaml` end in `.template` here: DVC takes every `dvc.yaml` in a work tree for a pipeline, also one
inside an environment that stands there.
"""
