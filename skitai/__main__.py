"""``python -m skitai`` is the `skitai` command."""

from skitai.cli import main

raise SystemExit(main())
