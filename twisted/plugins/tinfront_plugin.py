"""What ``twistd`` finds: one service, named by strings so that finding it imports nothing of tinfront."""

from twisted.application.service import ServiceMaker

tinfront = ServiceMaker(
    "tinfront",
    "tinfront.tap",
    "The web server in front of a Python site and the workers behind it, in one process tree.",
    "tinfront",
)
