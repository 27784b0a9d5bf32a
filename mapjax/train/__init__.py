"""Training: a loop over one pure step, with checkpoints that survive anything."""

from mapjax.train.data import TrainData as TrainData
from mapjax.train.data import load_data as load_data
from mapjax.train.errors import TrainingError as TrainingError
from mapjax.train.loop import train as train
from mapjax.train.settings import TrainSettings as TrainSettings
from mapjax.train.validate import Validation as Validation
