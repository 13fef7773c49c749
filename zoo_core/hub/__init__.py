"""The Hugging Face Hub, and any server that speaks its protocol: the one package that imports huggingface_hub.

settings            from the environment: the Hub's address, the cache, offline mode, the token
client              huggingface_hub's client, and what the `zoo` command sets up for its own process
redaction           text without tokens and passwords
requesting          requests: who gets the token, which redirects are followed, how much of an answer is read
retrying            how many attempts a request gets, and how long to wait between them
errors              failures of the Hub, the connection and the disk, each as an error of one line
downloading         one file, compared with what is stated of it
pull                from the Hub into the Hub's own cache, every file verified
push                from a model folder to the Hub, in one commit
plan                what a push would do
repository          what the Hub has of a model already
listing             what the Hub states of a commit: its hash, and the size and digest of each file
upload              the content of files to the Hub's storage, and the commit
rest                requests to the Hub's API, bounded and one at a time
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
    "downloading",
    "errors",
    "housekeeping",
    "listing",
    "plan",
    "pull",
    "push",
    "redaction",
    "registry_history",
    "remote_registries",
    "repository",
    "requesting",
    "rest",
    "retrying",
    "search",
    "settings",
    "upload",
]
