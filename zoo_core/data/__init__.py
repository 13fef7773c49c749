"""Data: what models are trained on and measured against.

training_data     TrainingData: samples, labels, and what is known of both
from_memory       training data from tensors, arrays, lists, Datasets and DataLoaders
tensors           samples and labels as the tensors that training takes
opening           from what `--data` names to the pictures of a data source
encoded_pictures  the interface of every data source
dataset_rows      the data sources of the library `datasets`
image_source      pictures on their way to samples: in memory, in the cache, or decoded for every batch
decoding          from encoded pictures to pixels
decoding_workers  decoding ahead, in processes of their own
cache             decoded pictures on disk
source_files      the files that a data set was read from, and whether they changed
fingerprint       a sha256 over samples and labels
"""

__all__ = [
    "cache",
    "dataset_rows",
    "decoding",
    "decoding_workers",
    "encoded_pictures",
    "fingerprint",
    "from_memory",
    "image_source",
    "opening",
    "source_files",
    "tensors",
    "training_data",
]
