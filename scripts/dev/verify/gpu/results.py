"""Results of the stages, a line of JSON each. They are written at once, so that none is lost when a stage is stopped."""

import json
from pathlib import Path


class Results:
    """Adds the results of one stage to a file."""

    def __init__(self, file: Path, stage: str):
        self.file, self.stage = file, stage

    def add(self, what: str, **values):
        line = json.dumps({"stage": self.stage, "what": what, **values})
        with self.file.open("a") as file:
            file.write(line + "\n")
        print(line[:400], flush=True)
