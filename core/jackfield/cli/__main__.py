"""``python -m jackfield.cli`` is ``jackfield``."""

import sys

from jackfield.cli import main

sys.exit(main())
