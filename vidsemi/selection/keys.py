"""A score and its example id as one integer, so that "higher score, then smaller id" is plain integer order.

Non-negative floats are ordered like their bits, and those of [0, 1] fit into 30: an int64 has room for 33 bits of id.
Partitioning and sorting int64 is what numpy does fastest, and a kept row costs 8 bytes.
"""

import numpy as np

ID_BITS = 33
MAX_ID = (1 << ID_BITS) - 1  # 8,589,934,591
MAX_SCORE = np.float32(1.0001)  # a mean of softmax may round above 1
MAX_SCORE_BITS = int(MAX_SCORE.view(np.int32))


def pack(score: np.ndarray, example_id: np.ndarray) -> np.ndarray:
    """Keys whose descending order is score descending, then example id ascending.

    Args:
        score: float32 in [0, `MAX_SCORE`], not -0.0.
        example_id: int64 in [0, `MAX_ID`].

    Returns:
        int64, none negative.
    """
    return (score.view(np.int32).astype(np.int64) << ID_BITS) | (MAX_ID - example_id)


def unpack_score(key: np.ndarray) -> np.ndarray:
    """The float32 scores of keys."""
    return (key >> ID_BITS).astype(np.int32).view(np.float32)


def unpack_id(key: np.ndarray) -> np.ndarray:
    """The int64 example ids of keys."""
    return MAX_ID - (key & MAX_ID)
