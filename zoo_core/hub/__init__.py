"""The Hugging Face Hub, and any server that speaks its protocol: the one package that imports huggingface_hub.

settings            where the Hub and its cache are, offline or not, and the user's token
client              requests: retries, timeouts, and messages while waiting
errors              what went wrong, in one line
pull                from the Hub into the Hub's own cache, every file verified
push                from a model folder to the Hub, in one commit
plan                what a push would do
repository          what the Hub has of a model already
cards               the README of a repository: the generated part and a person's own
cache               the files in the Hub's cache, and checking them
verified_digests    digests of files that were read before, so that a second check is cheap
streaming_digest    hashing a file while it is downloaded
housekeeping        the cache's models: list, remove, prune, verify
remote_registries   registries on the Hub, copied when the user says so
search              models on the Hub

Importing any of these imports neither huggingface_hub nor torch.
"""

__all__ = [
    "cache",
    "cards",
    "client",
    "errors",
    "housekeeping",
    "plan",
    "pull",
    "push",
    "remote_registries",
    "repository",
    "search",
    "settings",
    "streaming_digest",
    "verified_digests",
]
