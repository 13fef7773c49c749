"""Training: the loop around a plugin's training step, and everything that a run leaves behind.

setup                from what a user writes to a trainer and its data
loop                 the steps of a run
stop_signals         Ctrl-C and SIGTERM: the step in progress ends first
grids                sample grids during the run
remedies             what to try when a run goes wrong
finishing            the files of the finished model
gan                  the training step that GANs share
augmentation         differentiable augmentation, by name
batches              which samples a batch holds, and in which order
batch_sources        where the samples of a batch are read
sample_range         whether samples are such as the model could make
synchronised_layers  BatchNorm and dropout over the batch of all processes
ema                  the moving average of the weights
compilation          torch.compile, where it saves time
figures              what a training step returns, checked
checkpoints          the whole state of a run, without a pickle
run_folder           run.json, and the paths of a run's files
log                  log.jsonl and the progress bar
trackers             TensorBoard and others, through accelerate
"""

__all__ = [
    "augmentation",
    "batch_sources",
    "batches",
    "checkpoints",
    "compilation",
    "ema",
    "figures",
    "finishing",
    "gan",
    "grids",
    "log",
    "loop",
    "remedies",
    "run_folder",
    "sample_range",
    "setup",
    "stop_signals",
    "synchronised_layers",
    "trackers",
]
