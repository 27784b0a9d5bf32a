"""Training: loops over pure steps, with checkpoints that survive anything."""

from mapjax.train.checkpoint import Checkpoints as Checkpoints
from mapjax.train.data import TrainData as TrainData
from mapjax.train.data import load_data as load_data
from mapjax.train.devices import join_processes as join_processes
from mapjax.train.devices import make_mesh as make_mesh
from mapjax.train.devices import replicate as replicate
from mapjax.train.devices import shard as shard
from mapjax.train.errors import TrainingError as TrainingError
from mapjax.train.guard import Watch as Watch
from mapjax.train.guard import guard as guard
from mapjax.train.loop import loop as loop
from mapjax.train.run import train as train
from mapjax.train.settings import TrainSettings as TrainSettings
from mapjax.train.step import TrainState as TrainState
from mapjax.train.step import init_state as init_state
from mapjax.train.step import make_step as make_step
from mapjax.train.step import split as split
from mapjax.train.validate import Validation as Validation
