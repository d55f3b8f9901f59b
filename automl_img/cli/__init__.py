"""The command line: a skin over ``automl_img.api``; stdout is data, stderr is talk."""
