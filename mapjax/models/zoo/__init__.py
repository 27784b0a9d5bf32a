"""Networks of others, with the weights that they were published with."""

from mapjax.models.zoo.install import ArchiveError as ArchiveError
from mapjax.models.zoo.install import install as install
from mapjax.models.zoo.published import PUBLISHED as PUBLISHED
from mapjax.models.zoo.published import Published as Published
