"""``python -m automl_img``."""

from automl_img.cli.main import main

if __name__ == "__main__":
    main()
