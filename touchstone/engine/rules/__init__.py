"""Every rule on Tekton's objects: those of its admission webhook, and those of this engine alone.

    check                 all the rules over some documents: `find` all, `validate` raises one
    params                params and results declared, params and workspaces given
    refs, when, matrix    the parts of a pipeline task that have rules of their own
    task, step_action     a Task's steps, sidecars, mounts; a StepAction
    pipeline, runs        a Pipeline's tasks and their order; TaskRun and PipelineRun
    variables, pipeline_variables    what a $(...) may stand for

A rule is one call of `documents.problems.Field.refuse`; names are judged by `documents.naming`,
fields and their shapes by the tables of `engine.text`.
Facts are from pkg/apis/pipeline/v1/*_validation.go and pkg/substitution of tektoncd/pipeline v1.15,
with every feature flag on.
"""

from touchstone.engine.rules.check import find, is_shaped, validate
from touchstone.engine.rules.variables import leftover

__all__ = ["find", "is_shaped", "leftover", "validate"]
