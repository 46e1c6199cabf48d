"""The gate to supervision: a result as its `Detections`."""

from typing import Any

import numpy as np

from lexiseg.core.errors import UsageError
from lexiseg.inference.result import Result


def to_detections(result: Result) -> Any:
    """The segments as a `supervision.Detections`; see `Result.to_supervision`.

    Raises:
        UsageError: if supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise UsageError("supervision is not installed; pip install 'lexiseg[supervision]'.") from error
    segments = result.segments
    boxes = np.array([segment.box for segment in segments], np.float32).reshape(-1, 4)
    masks = [result.segmentation == segment.id for segment in segments]
    return supervision.Detections(
        xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        mask=np.stack(masks) if masks else np.zeros((0, *result.segmentation.shape), bool),
        confidence=np.array([segment.score for segment in segments], np.float32),
        class_id=np.array([segment.class_id for segment in segments], np.int64),
        data={"class_name": np.array([segment.name for segment in segments], np.str_)},
    )
