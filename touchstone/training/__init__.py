"""From data to a model: the contract of a model repository, the trainer, export and loading."""

from touchstone.training.estimator import EstimatorSpec
from touchstone.training.spec import Batch, Description, Detection, ModelSpec, Parameter, RawData

__all__ = [
    "Batch",
    "Description",
    "Detection",
    "EstimatorSpec",
    "ModelSpec",
    "Parameter",
    "RawData",
]
