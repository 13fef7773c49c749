"""The Hugging Face Hub, and any server that speaks its protocol: the one package that imports huggingface_hub.

settings            from the environment: the Hub's address, the cache, offline mode, the token
client              huggingface_hub's client, and what the `zoo` command sets up for its own process
retrying            how many attempts a request gets, and how long to wait between them
errors              failures of the Hub, the connection and the disk, each as an error of one line
pull                from the Hub into the Hub's own cache, every file verified
push                from a model folder to the Hub, in one commit
plan                what a push would do
repository          what the Hub has of a model already
cards               the README of a repository: the generated part and a person's own
cache               the files in the Hub's cache, and checking them
housekeeping        the cache's models: list, remove, prune, verify
remote_registries   registries on the Hub, copied when the user says so
registry_history    the commit that a registry was copied from, and whether another follows it
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
    "registry_history",
    "remote_registries",
    "repository",
    "retrying",
    "search",
    "settings",
]
