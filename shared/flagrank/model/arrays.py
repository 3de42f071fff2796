"""The arrays that everything is made of, by what they hold."""

from typing import Any

import numpy as np
import numpy.typing as npt

type Floats = npt.NDArray[np.float32]
type Scores = npt.NDArray[np.floating]
# places in the published arrays
type Rows = npt.NDArray[np.int64]
# as the source spells them: int64 or str
type Ids = npt.NDArray[Any]
type Mask = npt.NDArray[np.bool_]

NO_ROWS: Rows = np.empty(0, np.int64)
NO_ROWS.setflags(write=False)
