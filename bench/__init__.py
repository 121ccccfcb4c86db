"""HOW: runs, trains, measures, launches."""

import os

# Threads that wait for others sleep, unless the user says otherwise: spinning, two processes on the same cores slow
# each other down thirtyfold. OpenMP reads it when torch is imported, so it must stand before that.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
