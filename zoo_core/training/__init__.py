"""Training: the loop around a plugin's training step, and everything that a run leaves behind.

setup                from what a user writes to a trainer and its data
parents              the model that a run starts from: found, compared, and its weights taken over
loop                 the steps of a run
evaluation           metrics of the model while it is trained
stages               the stages of a run, and what happens between two of them
stop_signals         Ctrl-C, SIGTERM and SIGHUP: the step in progress ends first
finiteness           losses and weights that became NaN or infinite, found before a checkpoint is written
grids                sample grids during the run
remedies             what to try when a run goes wrong
finishing            the files of the finished model
stopped_runs         a model of a run that was stopped
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
run_data             what `fit` is given, as samples of the model's shape
run_folder           run.json, the lock, and the paths of a run's files
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
    "evaluation",
    "figures",
    "finishing",
    "finiteness",
    "gan",
    "grids",
    "log",
    "loop",
    "parents",
    "remedies",
    "run_data",
    "run_folder",
    "sample_range",
    "setup",
    "stages",
    "stop_signals",
    "stopped_runs",
    "synchronised_layers",
    "trackers",
]
