"""Models and data from outside a pipeline, as the gates judge them.

A dataset is the folder that `preprocess` writes, or a CSV file; a model is an ONNX file, a
scikit-learn estimator in skops' format, or only the predictions it once made. A PyTorch model tree
needs its own code to be loaded: `touchstone gate` does that.
"""
