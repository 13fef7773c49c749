"""Data: what models are trained on and measured against.

training_data     TrainingData: samples, labels, and what is known of both
opening           from what `--data` names to the pictures of a data source
encoded_pictures  the interface of every data source
dataset_rows      the data sources of the library `datasets`
image_source      pictures on their way to samples: in memory, in the cache, or decoded for every batch
decoding          from encoded pictures to pixels
orientation       which way up a picture is, by EXIF
deep_pixels       pixels of more than 8 bits, and which value becomes white
picture_codecs    opening of picture files, HEIC and JPEG XL among them
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
    "deep_pixels",
    "encoded_pictures",
    "fingerprint",
    "image_source",
    "opening",
    "orientation",
    "picture_codecs",
    "source_files",
    "training_data",
]
