"""llama_cpp.server with repacked weights where that works: python scripts/dev/bench/llama_cpp_server.py FLAG…"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "verify"))
from export import repack_where_it_works

repack_where_it_works()
from llama_cpp.server.__main__ import main

main()
