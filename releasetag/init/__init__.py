"""What `releasetag init` writes: a configuration and a pipeline, from what a project has already.

`survey` finds it, `workflows` translates other actions, `draft` puts together what comes of it, and
`pipelines` has a file for every CI system.
"""
