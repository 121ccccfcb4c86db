"""What is written for LaTeX is compiled by it, whatever names hold; where there is none, this is left out."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from reports import find
from reports.formats.files import write
from results import frame
from tests.reports.test_reports import ODD

LATEX = shutil.which("pdflatex")
DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs, graphicx}
\usepackage[export]{adjustbox}
\begin{document}
%s
\end{document}
"""


@pytest.mark.skipif(LATEX is None, reason="no pdflatex here; on Debian: apt-get install texlive-latex-extra")
def test_tables_and_figures_compile(runs: pd.DataFrame, make, tmp_path: Path) -> None:
    odd = frame([make(method, ODD, suite=ODD, backbone=ODD) for method in (f"{ODD} ±", "lora")])
    items = [item for given in (runs, odd) for name in ("accuracy", "tradeoff") for item in find(name)(given)]
    files = [path.name for item in items for path in write(item, tmp_path) if path.suffix == ".tex"]
    (tmp_path / "all.tex").write_text(DOCUMENT % "\n".join(rf"\input{{{name}}}" for name in files))
    command = [str(LATEX), "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert len(files) == 4
